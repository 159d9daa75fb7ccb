"""Layers that the generator and the discriminators are built from."""

import keras
from keras import ops

from attngan_tf.models.batch_norm import BatchNorm

LEAK = 0.2  # slope of LeakyReLU below zero


def conv(
    filters: int,
    size: int,
    strides: int = 1,
    use_bias: bool = False,
    **kwargs,
) -> keras.Layer:
    """A convolution, orthogonal at the start, padding "same"."""
    return keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=keras.initializers.Orthogonal(),
        **kwargs,
    )


class GLU(keras.Layer):
    """Gated linear unit [..., 2C] -> [..., C]: first half x sigmoid(rest)."""

    def call(self, x):
        values, gates = ops.split(x, 2, axis=-1)
        return values * ops.sigmoid(gates)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)


class ServedUpsampling(keras.Layer):
    """Nearest neighbour [B, H, W, C] -> [B, 2H, 2W, C], for served graphs.

    Keras's UpSampling2D does the same by two `repeat`s: up to 1.9 times the
    time on a CPU and sixteen times the operations (BUILD_NOTES.md). XLA,
    though, lacks this one's gradient and rounds its places in bfloat16, so
    training keeps Keras's.
    """

    def call(self, x):
        _, H, W, _ = x.shape
        return ops.image.resize(x, (2 * H, 2 * W), interpolation="nearest")

    def compute_output_shape(self, input_shape):
        B, H, W, C = input_shape
        return B, 2 * H, 2 * W, C


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


def up_block(channels: int, folded: bool = False, **kwargs) -> keras.Sequential:
    """[B, H, W, C] -> [B, 2H, 2W, channels]: nearest x2, conv, BN, GLU."""
    upsampling = (
        ServedUpsampling(**kwargs)
        if folded
        else keras.layers.UpSampling2D(2, **kwargs)
    )
    block = glu_block(channels, folded, **kwargs)
    return keras.Sequential([upsampling, *block])


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
