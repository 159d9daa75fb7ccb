"""Bilinear resizing with aligned corners."""

import numpy as np
from keras import ops


def resize_aligned(images, size: int):
    """Bilinear [B, H, W, C] -> [B, size, size, C] with aligned corners."""
    _, H, W, _ = images.shape
    rows, columns = (
        ops.cast(_interpolation(n, size), images.dtype) for n in (H, W)
    )
    return ops.einsum("ph,bhwc,qw->bpqc", rows, images, columns)


def _interpolation(n: int, size: int) -> np.ndarray:
    """A matrix [size, n]: the weights of n old positions in each new one."""
    positions = np.linspace(0.0, n - 1.0, size)[:, None]
    return np.maximum(0.0, 1.0 - np.abs(positions - np.arange(n)))
