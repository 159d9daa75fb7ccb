"""Batch normalization fused into the convolutions before it, for inference."""

import keras
import numpy as np

from attngan_tf.models.layers.batch_norm import EPSILON, GatedBatchNorm

NORM_WEIGHTS = ("gamma", "beta", "moving_mean", "moving_variance")


def fuse(kernel, gamma, beta, mean, variance, epsilon=EPSILON):
    """Fuses a convolution without bias and the BN after it, for inference.

    Args:
      kernel: the convolution's kernel, float [..., C].
      gamma: the BN's scale, float [C], or 1.
      beta: the BN's offset, float [C].
      mean: moving mean, float [C].
      variance: moving variance, float [C].
      epsilon: the BN's epsilon.

    Returns:
      The kernel [..., C] and the bias [C] of one equivalent convolution.
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
            # Halved, since the fused network has `halved_glu` for each GLU.
            scale = 0.5 if id(weight) in gated else 1.0
            fused += [scale * kernel, scale * bias]
            norm = []
    target.set_weights(fused)


def _gated(network: keras.Model) -> set[int]:
    """The ids of the weights of all BNs that a GLU follows.

    Keras has no public method for nested layers.
    """
    return {
        id(weight)
        for layer in network._flatten_layers()
        if isinstance(layer, GatedBatchNorm)
        for weight in layer.weights
    }
