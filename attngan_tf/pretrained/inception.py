"""Inception-v3 with torchvision's names, and BN layers with gamma and beta.

The project's network has each BN fused into the convolution before it
(`models.inception`).
"""

import keras
import numpy as np

from attngan_tf.models.layers.fusion import fuse

EPSILON = 1e-3  # of Inception's BN
_ENDS = ("weight", "bias", "running_mean", "running_var")
_STEM = [
    "Conv2d_1a_3x3",
    "Conv2d_2a_3x3",
    "Conv2d_2b_3x3",
    "Conv2d_3b_1x1",
    "Conv2d_4a_3x3",
]
_DOUBLE = ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]
_35 = ["branch1x1", "branch5x5_1", "branch5x5_2", *_DOUBLE, "branch_pool"]
_17 = [
    "branch1x1",
    *(f"branch7x7_{i}" for i in (1, 2, 3)),
    *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
    "branch_pool",
]
_8 = [
    "branch1x1",
    *(f"branch3x3_{i}" for i in ("1", "2a", "2b")),
    *(f"branch3x3dbl_{i}" for i in ("1", "2", "3a", "3b")),
    "branch_pool",
]
_BLOCKS = {
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), _35),
    "Mixed_6a": ["branch3x3", *_DOUBLE],
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), _17),
    "Mixed_7a": [
        "branch3x3_1",
        "branch3x3_2",
        *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)),
    ],
    **dict.fromkeys(("Mixed_7b", "Mixed_7c"), _8),
}
# Keras has them in the same order.
UNITS = [
    *_STEM,
    *(f"{block}.{unit}" for block, names in _BLOCKS.items() for unit in names),
]


def units(
    backbone: keras.Model,
) -> list[tuple[tuple[str, ...], keras.layers.Conv2D]]:
    """Names of the tensors of each unit, and the backbone's layer for it."""

    def number(layer) -> int:
        end = layer.name.rsplit("_", 1)[-1]
        return int(end) if end.isdecimal() else 0

    kind = keras.layers.Conv2D
    convs = [layer for layer in backbone.layers if isinstance(layer, kind)]
    names = [
        (f"{unit}.conv.weight", *(f"{unit}.bn.{end}" for end in _ENDS))
        for unit in UNITS
    ]
    return list(zip(names, sorted(convs, key=number), strict=True))


def fuse_unit(weight, gamma, beta, mean, variance):
    """Kernel HWIO and bias of a unit, computed in float64."""
    kernel = weight.transpose(2, 3, 1, 0).astype(np.float64)
    vectors = (x.astype(np.float64) for x in (gamma, beta, mean, variance))
    fused = fuse(kernel, *vectors, EPSILON)
    return [x.astype(np.float32) for x in fused]


def split_unit(kernel, bias):
    """The arrays of an equivalent unit, whose BN only adds the bias.

    The variance is 1 - epsilon, so that fusing it again is exact.
    """
    ones = np.ones_like(bias)
    return [
        kernel.transpose(3, 2, 0, 1),
        ones,
        bias,
        np.zeros_like(bias),
        ones * np.float32(1.0 - EPSILON),
    ]
