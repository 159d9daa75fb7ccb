"""Do pictures differ from each other? A collapsed generator's do not."""

from typing import NamedTuple

import numpy as np

ROWS = 512  # pictures on either side of a block of pairs
COLUMNS = 4096  # values of each picture at a time: 17 MB of float64 a side


class PairwiseDistance(NamedTuple):
    """Distances between pictures: 0 equal, 1 black against white."""

    mean: float  # over all pairs
    smallest: float  # exactly 0 when, and only when, two pictures are equal
    n: int  # pictures


def pairwise_distance(images: np.ndarray) -> PairwiseDistance:
    """Root-mean-square difference of pixels, over all pairs of pictures.

    Time grows with N^2: 1,000 pictures of 256 x 256 take seconds, 30,000 an
    hour.

    Args:
      images: uint8 [N, H, W, 3], N of 2 or more.

    Raises:
      ValueError: other than uint8 pictures, or fewer than two.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) < 2:
        raise ValueError(
            "images must be uint8 [N, H, W, 3] with N of 2 or more. "
            f"Received: {images.dtype} {images.shape}"
        )
    pixels = images.reshape(len(images), -1)  # [N, P]
    N, P = pixels.shape
    total, smallest = 0.0, np.inf
    for start in range(0, N, ROWS):
        for other in range(start, N, ROWS):
            squares = _squares(
                pixels[start : start + ROWS], pixels[other : other + ROWS]
            )
            if other == start:
                squares = squares[np.triu_indices(len(squares), k=1)]
            if squares.size:  # a last block of one picture has no pair
                total += np.sqrt(squares).sum()
                smallest = min(smallest, squares.min())
    unit = 255 * np.sqrt(P)
    pairs = N * (N - 1) / 2
    return PairwiseDistance(
        float(total / unit / pairs), float(np.sqrt(smallest) / unit), N
    )


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums of squared differences [n, m] of bytes a [n, P] and b [m, P].

    Exact: bytes in float64 give whole numbers, below 2^53 for any picture of
    under 10^11 values; equal pictures therefore give 0 itself.
    """
    squares = np.zeros((len(a), len(b)))
    for start in range(0, a.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        x, y = a[:, columns].astype(float), b[:, columns].astype(float)
        squares += np.einsum("np,np->n", x, x)[:, None]
        squares += np.einsum("mp,mp->m", y, y)
        squares -= 2 * (x @ y.T)
    return squares
