"""Faster equivalents of Keras's convolutions.

docs/performance.md, "Optimizations tried", has the time that each saves.
"""

import keras
import numpy as np
from keras import ops

from attngan_tf.models.layers.glu import halved_glu

SMALL_MAP = 16  # positions up to which a matrix product is used


class Convolution(keras.layers.Conv2D):
    """Conv2D that is computed as a matrix product if its output is small.

    For an output of 4x4 or less and many channels, oneDNN takes up to four
    times as long for the kernel's gradient as a matrix product. The product
    requires padding "same", one group, no dilation, and a square kernel whose
    size is a multiple of the stride; otherwise Keras's convolution is used.
    """

    def call(self, x):
        stride = self.strides[0]
        if not self._is_plain or not _has_small_map(x, stride):
            return super().call(x)
        y = _as_product(x, self.kernel, stride)
        if self.use_bias:
            y = y + ops.cast(self.bias, y.dtype)
        return self.activation(y)

    @property
    def _is_plain(self) -> bool:
        """Whether `_windows` returns what this convolution reads."""
        return (
            self.padding == "same"
            and self.data_format == "channels_last"
            and self.groups == 1
            and set(self.dilation_rate) == {1}
            and len(set(self.kernel_size)) == len(set(self.strides)) == 1
            and self.kernel_size[0] % self.strides[0] == 0
        )


def _has_small_map(x, stride: int) -> bool:
    """Whether a convolution with padding "same" has a small output."""
    _, H, W, _ = x.shape
    return -(-H // stride) * -(-W // stride) <= SMALL_MAP


def _as_product(x, kernel, stride: int):
    """A convolution with padding "same" as a matrix product."""
    sides = [-(-side // stride) for side in x.shape[1:3]]
    size, filters = kernel.shape[0], kernel.shape[-1]
    windows = _windows(x, size, stride)
    columns = ops.reshape(windows, [-1, windows.shape[-1]])
    y = ops.matmul(columns, ops.reshape(kernel, [-1, filters]))
    return ops.reshape(y, [-1, *sides, filters])


class SpectralConvolution(keras.layers.Layer):
    """A convolution with bias whose kernel has spectral norm 1.

    Miyato et al. 2018: the kernel, as a matrix [size^2 C, filters], is divided
    by its largest singular value, which is estimated by one step of the power
    iteration in each training call. The iteration's vector is saved with the
    weights. Padding is "same".

    Args:
      filters: channels of the output.
      size: side of the kernel.
      stride: step between two windows.
    """

    def __init__(self, filters: int, size: int, stride: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.size = size
        self.stride = stride

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(self.size, self.size, input_shape[-1], self.filters),
            name="kernel",
            autocast=False,  # the norm is computed in float32
            initializer=keras.initializers.Orthogonal(),
        )
        self.bias = self.add_weight(
            shape=(self.filters,), name="bias", initializer="zeros"
        )
        self.direction = self.add_weight(
            shape=(self.filters,),
            name="direction",
            autocast=False,
            initializer=keras.initializers.RandomNormal(),
            trainable=False,
            # Each replica computes the same vector from the same kernel.
            aggregation="only_first_replica",
        )

    def call(self, x, training=False):
        """[B, H, W, C] -> [B, H / stride, W / stride, filters]."""
        kernel = ops.cast(self._normalized_kernel(training), x.dtype)
        y = ops.conv(x, kernel, strides=self.stride, padding="same")
        return y + ops.cast(self.bias, y.dtype)

    def _normalized_kernel(self, training):
        kernel = ops.convert_to_tensor(self.kernel)
        matrix = ops.reshape(kernel, [-1, self.filters])
        right = ops.convert_to_tensor(self.direction)[:, None]
        fixed = ops.stop_gradient(matrix)
        left = ops.normalize(ops.matmul(fixed, right), axis=0)
        if training:
            right = ops.normalize(
                ops.matmul(ops.transpose(fixed), left), axis=0
            )
            self.direction.assign(right[:, 0])
        right = ops.normalize(right, axis=0)
        return kernel / ops.sum(left * ops.matmul(matrix, right))

    def compute_output_shape(self, input_shape):
        B, H, W, _ = input_shape
        return B, -(-H // self.stride), -(-W // self.stride), self.filters


class GatedConvolution(Convolution):
    """A 3x3 convolution and `halved_glu`: [B, H, W, C] -> [.., filters / 2].

    Values and gates are computed by two convolutions, since splitting the
    output of one would be one more pass over it.
    """

    def call(self, x):
        kernels = ops.split(self.kernel, 2, axis=-1)
        biases = ops.split(self.bias, 2, axis=-1)
        return halved_glu(
            *(
                ops.conv(x, kernel, padding="same") + bias
                for kernel, bias in zip(kernels, biases, strict=True)
            )
        )

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters // 2)


class ImageConvolution(keras.layers.Layer):
    """A 3x3 convolution without bias, and tanh: [B, H, W, C] -> [B, H, W, 3].

    Three output channels would leave most of a CPU's vector empty. Therefore a
    3x1 convolution computes three channels for each column of the kernel, nine
    in all, and a 1x3 convolution adds those of a position and its neighbours.
    The latter and the output are float32 also under mixed precision.
    """

    def build(self, input_shape):
        # The name that Keras's convolutions have in checkpoints.
        self._kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], 3),
            name="kernel",
            initializer=keras.initializers.Orthogonal(),
        )
        together = np.zeros([1, 3, 9, 3], self.variable_dtype)
        for column in range(3):
            together[0, column, 3 * column : 3 * column + 3] = np.eye(3)
        self._together = together

    @property
    def kernel(self) -> keras.Variable:
        """The kernel [3, 3, C, 3] of the 3x3 convolution."""
        return self._kernel

    def call(self, x):
        columns = ops.transpose(self.kernel, [0, 2, 1, 3])
        columns = ops.reshape(columns, [3, 1, x.shape[-1], 9])
        apart = ops.conv(x, columns, padding="same")
        apart = ops.cast(apart, self.variable_dtype)
        return ops.tanh(ops.conv(apart, self._together, padding="same"))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


def _windows(x, size: int, stride: int):
    """Windows of "same" padding: [B, H, W, C] -> [B, H', W', size^2 C].

    A window is `count` x `count` blocks of stride x stride positions. Blocks
    are cut by `slice`: the gradient of x[:, i::stride] takes many times as
    long.
    """
    count = size // stride
    pads, sides = [], []
    for side in x.shape[1:3]:
        blocks = -(-side // stride) - 1 + count
        lack = blocks * stride - side
        pads.append((lack // 2, lack - lack // 2))
        sides.append(blocks)
    C = x.shape[-1]
    H, W = (blocks + 1 - count for blocks in sides)
    x = ops.pad(x, [(0, 0), *pads, (0, 0)])
    x = ops.reshape(x, [-1, sides[0], stride, sides[1], stride, C])
    windows = [
        ops.slice(x, [0, i, 0, j, 0, 0], [-1, H, stride, W, stride, C])
        for i in range(count)
        for j in range(count)
    ]  # count^2 of [B, H', stride, W', stride, C]
    windows = ops.reshape(
        ops.stack(windows), [count, count, -1, H, stride, W, stride, C]
    )
    windows = ops.transpose(windows, [2, 3, 5, 0, 4, 1, 6, 7])
    return ops.reshape(windows, [-1, H, W, size * size * C])


class UpConvolution(keras.layers.Layer):
    """Nearest x2 up-sampling and a 3x3 convolution, as four 2x2 convolutions.

    The nine positions of a window of the large map are copies of four
    positions of the small one, so that weights can be summed before they are
    multiplied: 16 products for four positions instead of 36.

    Args:
      filters: channels of the output.
      use_bias: whether there is a bias.
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
        # The name that Keras's convolutions have in checkpoints.
        self._kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], self.filters),
            name="kernel",
            autocast=False,  # bfloat16 sums would be rounded twice
            initializer=self.kernel_initializer,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.filters,), name="bias", initializer="zeros"
            )

    @property
    def kernel(self) -> keras.Variable:
        """The kernel [3, 3, C, filters] of the large map's convolution."""
        return self._kernel

    def call(self, x):
        """[B, H, W, C] -> four phases [B, H, W, filters].

        A phase has the positions of the large map with even or odd rows and
        columns, in the order even even, even odd, odd even, odd odd.
        `interleave` joins the phases.
        """
        bias = self.bias if self.use_bias else None
        return self._phases(x, self.kernel, bias)

    def _phases(self, x, kernel, bias):
        kernels = [
            [ops.cast(summed, x.dtype) for summed in _summed(rows, 1)]
            for rows in _summed(kernel, 0)
        ]
        _, H, W, _ = x.shape
        padded = ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        phases = []
        for p in (0, 1):
            for q in (0, 1):
                # The output is cut, not the input, which would be stored four
                # times for the gradient. TensorFlow's explicit padding takes
                # 34 times as long in bfloat16, and the gradient of x[:, p:q]
                # several times as long as that of `slice`.
                y = ops.conv(padded, kernels[p][q], padding="valid")
                if bias is not None:  # TensorFlow fuses it with the convolution
                    y = y + ops.cast(bias, y.dtype)
                y = ops.slice(y, [0, p, q, 0], [-1, H, W, kernel.shape[-1]])
                phases.append(y)
        return phases

    def compute_output_shape(self, input_shape):
        return [(*input_shape[:-1], self.filters)] * 4


class GatedUpConvolution(UpConvolution):
    """An `UpConvolution` and `halved_glu`, as in `GatedConvolution`."""

    def call(self, x):
        """[B, H, W, C] -> four [B, H, W, filters / 2]."""
        kernels = ops.split(self.kernel, 2, axis=-1)
        biases = ops.split(self.bias, 2, axis=-1)
        values, gates = (
            self._phases(x, kernel, bias)
            for kernel, bias in zip(kernels, biases, strict=True)
        )
        return list(map(halved_glu, values, gates))

    def compute_output_shape(self, input_shape):
        return [(*input_shape[:-1], self.filters // 2)] * 4


def _summed(kernel, axis: int):
    """A kernel reduced from 3 to 2 along an axis, for even and odd positions.

    Two of the three positions of a window of the large map are copies of one
    position: the last two at even positions, the first two at odd ones.
    """
    first, middle, last = ops.split(kernel, 3, axis=axis)
    return (
        ops.concatenate([first, middle + last], axis=axis),
        ops.concatenate([first + middle, last], axis=axis),
    )


def interleave(phases):
    """Joins phases: [4 B, H, W, C], one after another -> [B, 2H, 2W, C]."""
    _, H, W, C = phases.shape
    y = ops.reshape(phases, [2, 2, -1, H, W, C])
    y = ops.transpose(y, [2, 3, 0, 4, 1, 5])
    return ops.reshape(y, [-1, 2 * H, 2 * W, C])
