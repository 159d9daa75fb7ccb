"""Both sides in float64, where a rounding turns no corner of a ReLU."""

import contextlib
from collections.abc import Iterator

import keras
import pytest
import tensorflow as tf
import torch
from keras import ops

from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.pretrained import inception, layouts


def _wide(dtype):
    """Float64 for float32, asked for by any of its names."""
    name = getattr(dtype, "name", dtype)
    return "float64" if name in ("float32", None) else dtype


def _normalized(x, gamma, beta, epsilon, is_training):
    """The fused kernel's three results, which it has in float32 only."""
    assert is_training
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    y = tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)
    count = x.shape.num_elements() / x.shape[-1]
    return y, mean, variance * (count / (count - 1))


def _leaky_relu(layer, x):
    """Without TensorFlow's kernel, whose slope is a float32."""
    return ops.maximum(x, layer.negative_slope * x)


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Networks made here, here and as peers, work in float64 throughout."""

    def wide(function):
        def call(x, dtype, *args, **kwargs):
            return function(x, _wide(dtype), *args, **kwargs)

        return call

    layer_init, add_weight = keras.Layer.__init__, keras.Layer.add_weight

    def init(layer, *args, dtype=None, **kwargs):
        layer_init(layer, *args, dtype=_wide(dtype), **kwargs)

    def add(layer, *args, dtype=None, **kwargs):
        return add_weight(layer, *args, dtype=_wide(dtype), **kwargs)

    before = keras.config.floatx(), torch.get_default_dtype()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Layer, "__init__", init)
        patch.setattr(keras.Layer, "add_weight", add)
        patch.setattr(keras.layers.LeakyReLU, "call", _leaky_relu)
        patch.setattr(ops, "cast", wide(ops.cast))
        patch.setattr(tf, "cast", wide(tf.cast))
        patch.setattr(tf.compat.v1.nn, "fused_batch_norm", _normalized)
        keras.config.set_floatx("float64")
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            keras.config.set_floatx(before[0])
            torch.set_default_dtype(before[1])


def give_folded(network: ImageEncoder, peer: torch.nn.Module) -> None:
    """Gives the peer what was folded, rounded to float32, here."""
    state = layouts.state_of(layouts.image_encoder(network))
    tensors = {name: torch.from_numpy(x) for name, x in state.items()}
    for name in tensors:
        if name.endswith("running_var"):
            tensors[name].fill_(1.0 - inception.EPSILON)
    counters = peer.load_state_dict(tensors, strict=False).missing_keys
    assert all(name.endswith(layouts.IGNORED) for name in counters)
