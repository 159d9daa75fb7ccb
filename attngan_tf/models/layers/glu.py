"""The gated linear unit."""

import keras
from keras import ops


def glu(x):
    """[..., 2C] -> [..., C]: the first half times the sigmoid of the rest."""
    values, gates = ops.split(x, 2, axis=-1)
    return values * ops.sigmoid(gates)


class GLU(keras.layers.Layer):
    """`glu` as a layer."""

    def call(self, x):
        return glu(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)


def halved_glu(values, gates):
    """The GLU of 2 `values` and 2 `gates`.

    2 v sigmoid(2 g) = v + v tanh(g), and in bfloat16 TensorFlow's tanh takes
    a third of the time of its sigmoid.
    """
    return values + values * ops.tanh(gates)


class HalvedGLU(GLU):
    """`halved_glu` as a layer: [..., 2C] -> [..., C]."""

    def call(self, x):
        return halved_glu(*ops.split(x, 2, axis=-1))
