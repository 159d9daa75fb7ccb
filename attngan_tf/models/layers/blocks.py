"""Blocks of the generator and the discriminators."""

import keras
from keras import ops

from attngan_tf.models.layers.batch_norm import BatchNorm, GatedBatchNorm
from attngan_tf.models.layers.convolutions import (
    Convolution,
    GatedConvolution,
    GatedUpConvolution,
    UpConvolution,
    interleave,
)

LEAK = 0.2  # slope of LeakyReLU below zero


def conv(
    filters: int,
    size: int,
    strides: int = 1,
    use_bias: bool = False,
    kind: type[keras.layers.Layer] = Convolution,
    **kwargs,
) -> keras.layers.Layer:
    """A convolution with orthogonal initialization and padding "same"."""
    return kind(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=keras.initializers.Orthogonal(),
        **kwargs,
    )


def glu_block(
    channels: int, fused: bool = False, **kwargs
) -> list[keras.layers.Layer]:
    """A 3x3 convolution, BN and GLU, with `channels` output channels.

    If `fused`, BN is fused into the convolution.
    """
    if fused:
        gated = conv(
            2 * channels, 3, use_bias=True, kind=GatedConvolution, **kwargs
        )
        return [gated]
    return [conv(2 * channels, 3, **kwargs), GatedBatchNorm(**kwargs)]


class UpBlock(keras.layers.Layer):
    """[B, H, W, C] -> [B, 2H, 2W, channels]: nearest x2, conv, BN, GLU.

    BN and GLU are applied to the phases of `UpConvolution`, which hold the
    positions of the large map in another order.
    """

    def __init__(self, channels: int, fused: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.fused = fused

    def build(self, input_shape):
        dtype = self.dtype_policy
        kind = GatedUpConvolution if self.fused else UpConvolution
        self.conv = kind(
            2 * self.channels,
            use_bias=self.fused,
            kernel_initializer=keras.initializers.Orthogonal(),
            dtype=dtype,
        )
        self.conv.build(input_shape)
        if not self.fused:
            self.gate = GatedBatchNorm(dtype=dtype)
            self.gate.build((*input_shape[:-1], 2 * self.channels))

    def call(self, x, training=False):
        phases = ops.concatenate(self.conv(x), 0)
        if not self.fused:
            phases = self.gate(phases, training=training)
        return interleave(phases)

    def compute_output_shape(self, input_shape):
        B, H, W, _ = input_shape
        return B, 2 * H, 2 * W, self.channels


def leaky_block(
    channels: int, size: int, strides: int, normalize: bool = True, **kwargs
) -> list[keras.Layer]:
    """Convolution, BN (if `normalize`) and LeakyReLU, for discriminators."""
    return [
        conv(channels, size, strides, **kwargs),
        *([BatchNorm(**kwargs)] if normalize else []),
        keras.layers.LeakyReLU(LEAK, **kwargs),
    ]


class ResidualBlock(keras.Layer):
    """x plus convolution, BN, GLU, convolution and BN of x: [B, H, W, C]."""

    def __init__(self, fused: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.fused = fused

    def build(self, input_shape):
        channels, dtype = input_shape[-1], self.dtype_policy
        self.body = keras.Sequential(
            [
                *glu_block(channels, self.fused, dtype=dtype),
                conv(channels, 3, use_bias=self.fused, dtype=dtype),
                *([] if self.fused else [BatchNorm(dtype=dtype)]),
            ],
            name="body",
        )
        self.body.build(input_shape)

    def call(self, x, training=False):
        return x + self.body(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape


def tile_vector(vector, like):
    """[B, C] -> [B, H, W, C], the same at each position of `like`."""
    _, H, W, _ = like.shape
    return ops.tile(vector[:, None, None, :], [1, H, W, 1])
