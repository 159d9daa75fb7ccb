"""Batch normalization as part of the convolutions before it, for drawing."""

import keras
import numpy as np

from attngan_tf.models.layers.batch_norm import EPSILON, GatedBatchNorm

NORM_WEIGHTS = ("gamma", "beta", "moving_mean", "moving_variance")


def fold(kernel, gamma, beta, mean, variance, epsilon=EPSILON):
    """One kernel and bias for a convolution without bias and its BN.

    A BN that is not trained is a factor and a shift of each channel.

    Args:
      kernel: float [..., C] of the convolution.
      gamma: float [C] of the BN, or 1.
      beta: float [C].
      mean: float [C].
      variance: float [C].
      epsilon: the BN's.
    """
    factor = gamma / np.sqrt(variance + epsilon)
    return kernel * factor, beta - mean * factor


def fold_batch_norm(source: keras.Model, target: keras.Model) -> None:
    """Gives `target`, built with `folded`, the function of `source`.

    Raises:
      ValueError: the networks differ in more than that.
    """
    gated = _gated(source)
    folded, norm = [], []
    for weight in source.weights:
        if weight.name not in NORM_WEIGHTS:
            folded.append(weight.numpy())
            continue
        norm.append(weight.numpy())
        if len(norm) == len(NORM_WEIGHTS):
            kernel, bias = fold(folded.pop(), *norm)
            # `HalvedGLU` comes behind it.
            share = 0.5 if id(weight) in gated else 1.0
            folded += [share * kernel, share * bias]
            norm = []
    target.set_weights(folded)


def _gated(network: keras.Model) -> set[int]:
    """The ids of all weights of BNs that a GLU comes behind.

    Keras has no public way to the layers inside of layers.
    """
    return {
        id(weight)
        for layer in network._flatten_layers()
        if isinstance(layer, GatedBatchNorm)
        for weight in layer.weights
    }
