"""Layers that the generator and the discriminators are built from."""

import keras
from keras import ops

from attngan_tf.models.batch_norm import BatchNorm
from attngan_tf.models.convolutions import (
    Convolution,
    UpConvolution,
    interleave,
)

LEAK = 0.2  # slope of LeakyReLU below zero


def conv(
    filters: int,
    size: int,
    strides: int = 1,
    use_bias: bool = False,
    **kwargs,
) -> keras.Layer:
    """A convolution, orthogonal at the start, padding "same"."""
    return Convolution(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=keras.initializers.Orthogonal(),
        **kwargs,
    )


def _gated(x):
    values, gates = ops.split(x, 2, axis=-1)
    return values * ops.sigmoid(gates)


@ops.custom_gradient
def _frugally_gated(x):
    """The same, of which training keeps nothing but x.

    The halves and the sigmoid, one and a half times x, are computed again for
    the gradient; written otherwise there, or TensorFlow would notice that they
    are the same, and keep them.
    """
    C = x.shape[-1] // 2

    def gradient(upstream):
        gates = 0.5 + 0.5 * ops.tanh(0.5 * x[..., C:])
        opened = upstream * gates
        shut = opened * (1.0 - gates)
        return ops.concatenate([opened, shut * x[..., :C]], axis=-1)

    return _gated(x), gradient


class GLU(keras.layers.Layer):
    """Gated linear unit [..., 2C] -> [..., C]: first half x sigmoid(rest)."""

    def call(self, x, training=False):
        return _frugally_gated(x) if training else _gated(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)


def conv_norm(
    filters: int, size: int, folded: bool, **kwargs
) -> list[keras.Layer]:
    """A convolution and its BN; folded, one convolution that does both."""
    layer = conv(filters, size, use_bias=folded, **kwargs)
    return [layer] if folded else [layer, BatchNorm(**kwargs)]


def glu_block(
    channels: int, folded: bool = False, **kwargs
) -> list[keras.Layer]:
    """Convolution 3x3, BN and GLU to so many channels."""
    return [*conv_norm(2 * channels, 3, folded, **kwargs), GLU(**kwargs)]


class UpBlock(keras.layers.Layer):
    """[B, H, W, C] -> [B, 2H, 2W, channels]: nearest x2, conv, BN, GLU.

    BN and GLU work on the phases of `UpConvolution`, whose places are those
    of the large map in another order.
    """

    def __init__(self, channels: int, folded: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.folded = folded

    def build(self, input_shape):
        dtype = self.dtype_policy
        self.conv = UpConvolution(
            2 * self.channels,
            use_bias=self.folded,
            kernel_initializer=keras.initializers.Orthogonal(),
            dtype=dtype,
        )
        self.conv.build(input_shape)
        self.norm = None
        if not self.folded:
            self.norm = BatchNorm(dtype=dtype)
            self.norm.build((*input_shape[:-1], 2 * self.channels))
        self.glu = GLU(dtype=dtype)

    def call(self, x, training=False):
        phases = self.conv(x)
        if self.norm is None:
            return interleave(ops.concatenate(list(map(self.glu, phases)), 0))
        phases = self.norm(ops.concatenate(phases, 0), training=training)
        return interleave(self.glu(phases, training=training))

    def compute_output_shape(self, input_shape):
        B, H, W, _ = input_shape
        return B, 2 * H, 2 * W, self.channels


def leaky_block(
    channels: int, size: int, strides: int, normalize: bool = True, **kwargs
) -> list[keras.Layer]:
    """Convolution, BN (if asked) and LeakyReLU, for discriminators."""
    return [
        conv(channels, size, strides, **kwargs),
        *([BatchNorm(**kwargs)] if normalize else []),
        keras.layers.LeakyReLU(LEAK, **kwargs),
    ]


class ResidualBlock(keras.Layer):
    """x + conv, BN, GLU, conv, BN of x; the shape [B, H, W, C] stays."""

    def __init__(self, folded: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.folded = folded

    def build(self, input_shape):
        channels, dtype = input_shape[-1], self.dtype_policy
        self.body = keras.Sequential(
            [
                *glu_block(channels, self.folded, dtype=dtype),
                *conv_norm(channels, 3, self.folded, dtype=dtype),
            ]
        )
        self.body.build(input_shape)

    def call(self, x, training=False):
        return x + self.body(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape


def tile_vector(vector, like):
    """[B, C] -> [B, H, W, C], the same at each place of `like`."""
    _, H, W, _ = like.shape
    return ops.tile(vector[:, None, None, :], [1, H, W, 1])
