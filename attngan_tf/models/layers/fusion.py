"""Batch normalization fused into the convolutions before it, for inference."""

import keras
import numpy as np

from attngan_tf.models.layers.batch_norm import EPSILON, GatedBatchNorm

NORM_WEIGHTS = ("gamma", "beta", "moving_mean", "moving_variance")


def fuse(kernel, gamma, beta, mean, variance, epsilon=EPSILON):
    """Kernel and bias that replace a convolution without bias and its BN.

    In inference, BN is a factor and a shift of each channel.

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


def fuse_batch_norm(source: keras.Model, target: keras.Model) -> None:
    """Sets the weights of `target`, built with `fused`, from `source`.

    Raises:
      ValueError: the networks have different sizes.
    """
    gated = _gated(source)
    fused, norm = [], []
    for weight in source.weights:
        if weight.name not in NORM_WEIGHTS:
            fused.append(weight.numpy())
            continue
        norm.append(weight.numpy())
        if len(norm) == len(NORM_WEIGHTS):
            kernel, bias = fuse(fused.pop(), *norm)
            # `HalvedGLU` follows.
            scale = 0.5 if id(weight) in gated else 1.0
            fused += [scale * kernel, scale * bias]
            norm = []
    target.set_weights(fused)


def _gated(network: keras.Model) -> set[int]:
    """The ids of all weights of BNs that a GLU follows.

    Keras has no public way to the layers inside layers.
    """
    return {
        id(weight)
        for layer in network._flatten_layers()
        if isinstance(layer, GatedBatchNorm)
        for weight in layer.weights
    }
