"""Convolutions that take less time than the plain ones, to the same numbers.

What each saves is in BUILD_NOTES.md, "Speed".
"""

import keras
import numpy as np
from keras import ops

SMALL_MAP = 16  # places up to which a convolution is a matrix product


class Convolution(keras.layers.Conv2D):
    """Keras's; to maps of 4x4 or less, padding "same", a matrix product.

    There a kernel of many channels is larger than the maps, and oneDNN takes
    up to four times as long for its gradient as the product. Groups,
    dilation, and kernels or strides that are no squares stay Keras's.
    """

    def call(self, x):
        sides = [-(-side // self.strides[0]) for side in x.shape[1:3]]
        if not self._is_plain or np.prod(sides) > SMALL_MAP:
            return super().call(x)
        places = _windows(x, self.kernel_size[0], self.strides[0])
        columns = ops.reshape(places, [-1, places.shape[-1]])
        kernel = ops.reshape(self.kernel, [-1, self.filters])
        y = ops.reshape(ops.matmul(columns, kernel), [-1, *sides, self.filters])
        if self.use_bias:
            y = y + ops.cast(self.bias, y.dtype)
        return self.activation(y)

    @property
    def _is_plain(self) -> bool:
        """Whether `_windows` gives what this convolution reads."""
        return (
            self.padding == "same"
            and self.data_format == "channels_last"
            and self.groups == 1
            and set(self.dilation_rate) == {1}
            and len(set(self.kernel_size)) == len(set(self.strides)) == 1
        )


def _windows(x, size: int, stride: int):
    """Windows of "same" padding: [B, H, W, C] -> [B, H', W', size^2 C]."""
    pads, spans = [], []
    for side in x.shape[1:3]:
        count = -(-side // stride)
        lack = max(0, (count - 1) * stride + size - side)
        pads.append((lack // 2, lack - lack // 2))
        spans.append((count - 1) * stride + 1)
    x = ops.pad(x, [(0, 0), *pads, (0, 0)])
    return ops.concatenate(
        [
            x[:, i : i + spans[0] : stride, j : j + spans[1] : stride]
            for i in range(size)
            for j in range(size)
        ],
        axis=-1,
    )


class UpConvolution(keras.layers.Layer):
    """Nearest x2, then 3x3, as four convolutions 2x2 of the small map.

    Of the nine places of the large map's window, those that are copies of one
    small place meet the sum of their weights: 16 products for four places
    instead of 36.

    Args:
      filters: channels of the output.
      use_bias: whether it has a bias.
      kernel_initializer: of the kernel [3, 3, C, filters].
    """

    def __init__(
        self,
        filters: int,
        use_bias: bool = True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        # The name that Keras's convolutions give it, in checkpoints as well.
        self._kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], self.filters),
            name="kernel",
            autocast=False,  # sums of bfloat16 would be rounded twice
            initializer=self.kernel_initializer,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.filters,), name="bias", initializer="zeros"
            )

    @property
    def kernel(self) -> keras.Variable:
        """The kernel of the large map's convolution, as it is stored."""
        return self._kernel

    def call(self, x):
        """[B, H, W, C] -> four [B, H, W, filters].

        They are the large map's places of even and odd rows and columns: even
        even, even odd, odd even, odd odd. `interleave` puts them together.
        """
        kernels = [
            [ops.cast(kernel, x.dtype) for kernel in _shared(rows, 1)]
            for rows in _shared(self.kernel, 0)
        ]
        _, H, W, _ = x.shape
        padded = ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        phases = []
        for p in (0, 1):
            for q in (0, 1):
                # Cut from what is computed, not from what is read: that would
                # be kept four times for the gradient. TensorFlow's explicit
                # padding takes 34 times as long in bfloat16 there, and the
                # gradient of x[:, p:q] several times that of `slice`.
                y = ops.conv(padded, kernels[p][q], padding="valid")
                if self.use_bias:  # at once: it is a part of the convolution
                    y = y + ops.cast(self.bias, y.dtype)
                y = ops.slice(y, [0, p, q, 0], [-1, H, W, self.filters])
                phases.append(y)
        return phases

    def compute_output_shape(self, input_shape):
        return [(*input_shape[:-1], self.filters)] * 4

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }


def _shared(kernel, axis: int):
    """Kernels 3 -> 2 along an axis, for places of even and of odd number.

    Of a window of three on the large map, two places are copies of one: the
    last two at even places, the first two at odd ones.
    """
    first, middle, last = ops.split(kernel, 3, axis=axis)
    return (
        ops.concatenate([first, middle + last], axis=axis),
        ops.concatenate([first + middle, last], axis=axis),
    )


def interleave(phases):
    """[4 B, H, W, C], the phases one after the other -> [B, 2H, 2W, C]."""
    _, H, W, C = phases.shape
    y = ops.reshape(phases, [2, 2, -1, H, W, C])
    y = ops.transpose(y, [2, 3, 0, 4, 1, 5])
    return ops.reshape(y, [-1, 2 * H, 2 * W, C])
