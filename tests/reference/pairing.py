"""The project's networks with the weights of the PyTorch reference."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from absl import flags
from keras import ops

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.models import inception as inception_lib
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.pretrained import inception, layouts
from tests.reference import files

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
_BACKBONES: dict[tuple, keras.Model] = {}


def released(dataset: str, sizes: dict, **fields: Any) -> Config:
    """The configuration of configs/<dataset>_released.flags, of other sizes.

    Args:
      dataset: "cub" or "coco".
      sizes: such as `networks.TINY`.
      fields: override both.
    """
    values = flags.FlagValues()
    command.define_config_flags(values)
    values(["", f"--flagfile={CONFIGS / dataset}_released.flags"])
    own = {k: v for k, v in sizes.items() if k != "vocabulary_size"}
    config = command.config_from_flags(values)
    return dataclasses.replace(config, **(own | fields))


@contextlib.contextmanager
def zero_start() -> Iterator[None]:
    """Zeros for orthogonal weights, which take a minute at CUB's sizes.

    A weight that is not loaded afterwards is then found by a comparison.
    """

    def zeros(self, shape, dtype=None):
        return ops.zeros(shape, dtype or "float32")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.Orthogonal, "__call__", zeros)
        yield


@contextlib.contextmanager
def shared_inception() -> Iterator[None]:
    """Image encoders that are built here share Inception-v3's weights.

    Building it takes seconds. A test must load its weights before use.
    """

    def backbone(size, layer, weights, dtype, images, count_padding):
        assert weights is images is None
        key = size, layer, dtype.name, count_padding, keras.config.floatx()
        if key not in _BACKBONES:
            _BACKBONES[key] = inception_lib.inception_backbone(
                size, layer, None, dtype, None, count_padding
            )
        return _BACKBONES[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "inception_backbone", backbone)
        yield


def give(parts: list[layouts.Part], network: torch.nn.Module) -> None:
    """Copies the reference's weights to the network of a layout."""
    layouts.load(parts, arrays(files.state(network)), type(network).__name__)


def arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Copies, which later steps do not change."""
    return {name: x.detach().numpy().copy() for name, x in tensors.items()}


def channels_last(maps: torch.Tensor) -> np.ndarray:
    """[B, C, H, W] -> [B, H, W, C]."""
    return np.ascontiguousarray(maps.detach().numpy().transpose(0, 2, 3, 1))


def rows(features: torch.Tensor) -> np.ndarray:
    """Words [B, D, T] or regions [B, D, h, w] -> [B, T or h * w, D]."""
    flat = features.detach().flatten(2).numpy()
    return np.ascontiguousarray(flat.transpose(0, 2, 1))


def assert_close(found, expected, tolerance: float, name: str = "") -> None:
    """Asserts equal shapes, and no difference above `tolerance`."""
    np.testing.assert_allclose(
        np.asarray(found),
        np.asarray(expected),
        rtol=0,
        atol=tolerance,
        err_msg=name,
        strict=True,
    )


def difference(found, expected) -> float:
    """The norm of the difference, relative to the norm of `expected`."""
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    assert found.shape == expected.shape
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def _wide(dtype):
    """Float64 for float32, by any of its names."""
    name = getattr(dtype, "name", dtype)
    return "float64" if name in ("float32", None) else dtype


def _normalized(x, gamma, beta, epsilon, is_training):
    """The results of the fused kernel, which has no float64."""
    assert is_training
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    y = tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)
    count = x.shape.num_elements() / x.shape[-1]
    return y, mean, variance * (count / (count - 1))


def _leaky_relu(layer, x):
    """LeakyReLU without TensorFlow's kernel, whose slope is a float32."""
    return ops.maximum(x, layer.negative_slope * x)


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Networks that are made and called here are in float64 throughout.

    In float32, a rounding puts some activations on the other side of a ReLU's
    corner, and gradients behind Inception-v3 differ by 1e-2.
    """

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
    policy = keras.config.dtype_policy()  # Keras makes it from floatx
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
            keras.config.set_dtype_policy(policy)
            torch.set_default_dtype(before[1])


def give_fused(network: ImageEncoder, reference: torch.nn.Module) -> None:
    """Gives the reference our kernels, whose fusion is rounded to float32."""
    state = layouts.state_of(layouts.image_encoder(network))
    tensors = {name: torch.from_numpy(x) for name, x in state.items()}
    for name in tensors:
        if name.endswith("running_var"):
            tensors[name].fill_(1.0 - inception.EPSILON)
    missing = reference.load_state_dict(tensors, strict=False).missing_keys
    assert all(name.endswith(layouts.IGNORED) for name in missing)
