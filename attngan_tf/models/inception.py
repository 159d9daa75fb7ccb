"""Inception-v3 as the fixed backbone of the image encoder (paper, 3.2)."""

import contextlib
from collections.abc import Iterable

import keras
from keras import ops

from attngan_tf.models.layers.fusion import fuse


@contextlib.contextmanager
def _default_dtype(policy):
    """Sets the global policy, the only one that keras.applications reads."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def inception_backbone(
    size: int,
    region_layer: str,
    weights: str | None,
    dtype,
    images: Iterable | None = None,
    count_padding: bool = False,
) -> keras.Model:
    """Inception-v3 up to its last average pool, with fixed weights.

    Args:
      size: side of the images, at least 75.
      region_layer: the layer whose output gives the regions, mixed6 or mixed7;
        both are 17 x 17 at size 299.
      weights: "imagenet", a path, or None for random weights.
      dtype: the dtype policy.
      images: batches float32 [B, size, size, 3] in [-1, 1] to measure BN's
        statistics on, without which random weights give no usable features.
      count_padding: whether average pools include the zeros of their padding
        (torchvision) or not (Keras).

    Returns:
      A model [B, size, size, 3] in [-1, 1] -> {regions [B, h, w, 768],
      pooled [B, 2048], maps}, with each BN fused into the convolution before
      it. `maps` are the four that discriminators may read, from fine to coarse:
      after the first pool [B, h, w, 64], mixed2 (288 channels), mixed7 (768)
      and mixed8 (1280).
    """
    with _default_dtype(dtype):
        inception = keras.applications.InceptionV3(
            include_top=False,
            weights=weights,
            input_shape=(size, size, 3),
            pooling="avg",
        )
    if images is not None:
        measure_batch_norm(inception, images)
    inception = without_batch_norm(inception, count_padding)
    backbone = keras.Model(
        inception.input,
        {
            "regions": inception.get_layer(region_layer).output,
            "pooled": inception.output,
            "maps": [
                _first_pool(inception).output,
                *(
                    inception.get_layer(name).output
                    for name in ("mixed2", "mixed7", "mixed8")
                ),
            ],
        },
        name="inception_v3",
    )
    backbone.trainable = False
    return backbone


def _first_pool(network: keras.Model) -> keras.Layer:
    kind = keras.layers.MaxPooling2D
    return next(layer for layer in network.layers if isinstance(layer, kind))


def _batch_norms(network: keras.Model) -> list[keras.Layer]:
    kind = keras.layers.BatchNormalization
    return [layer for layer in network.layers if isinstance(layer, kind)]


def measure_batch_norm(network: keras.Model, batches: Iterable) -> None:
    """Sets BN's statistics to their means over batches of images.

    Momentum k/(k+1) for batch k, counted from 0, gives plain means.
    """
    for k, batch in enumerate(batches):
        for norm in _batch_norms(network):
            norm.momentum = k / (k + 1)
        network(batch, training=True)


class CountingAveragePooling(keras.layers.AveragePooling2D):
    """A 3x3 average pool with stride 1 that includes its padding as zeros."""

    def call(self, x):
        padded = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return ops.average_pool(padded, 3, 1, "valid", "channels_last")


def without_batch_norm(
    network: keras.Model, count_padding: bool = False
) -> keras.Model:
    """The same function with each BN fused into the convolution before it.

    This saves BN's passes over whole maps: on a CPU, the DAMSM's part of a GAN
    step takes 295 instead of 361 ms (docs/performance.md).

    Args:
      network: a functional model in which every BN has no gamma and follows
        a convolution without bias.
      count_padding: whether average pools include their padding.
    """
    makers = {id(layer.output): layer for layer in network.layers}
    pairs = [(makers[id(bn.input)], bn) for bn in _batch_norms(network)]
    normalized = {conv.name for conv, _ in pairs}

    def copy(layer):
        config = layer.get_config()
        if layer.name in normalized:
            config["use_bias"] = True
        kind = type(layer)
        if count_padding and kind is keras.layers.AveragePooling2D:
            kind = CountingAveragePooling
        return kind.from_config(config)

    def call(layer, x, **kwargs):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        return x if is_norm else layer(x, **kwargs)

    fused = keras.models.clone_model(
        network, clone_function=copy, call_function=call
    )
    for conv, bn in pairs:
        (kernel,), moments = conv.get_weights(), bn.get_weights()
        fused.get_layer(conv.name).set_weights(
            fuse(kernel, 1.0, *moments, bn.epsilon)
        )
    return fused
