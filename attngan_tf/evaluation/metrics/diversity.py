"""Do pictures differ from each other? A collapsed generator's do not."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import IMAGES, Metric
from attngan_tf.runs.scores import Row, Value

IMAGES_COMPARED = 100  # images of different captions that are compared
SAMPLES = 16  # images of one caption that are compared

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


class DiversityMetric(Metric):
    """Pixel distances of images; beside each, that of different real images.

    Of one caption: SAMPLES images of each of a few captions.
    """

    needs = frozenset({IMAGES})

    def __init__(self, evaluator):
        super().__init__(evaluator)
        self._images = []

    @classmethod
    def images_needed(cls, num_images):
        return min(num_images, IMAGES_COMPARED)

    def update(self, batch):
        self._images.append(to_bytes(batch[IMAGES]))

    def rows(self):
        same = [
            pairwise_distance(images)
            for images in self.evaluator.images_of_one_caption(SAMPLES)
        ]
        means = [distance.mean for distance in same]
        std = float(np.std(means)) if len(means) > 1 else None
        n = sum(distance.n for distance in same)
        smallest = min(distance.smallest for distance in same)
        different = pairwise_distance(np.concatenate(self._images))
        name, real_mean, real_smallest = "diversity_one_caption", None, None
        if self.evaluator.real_scores:
            real = pairwise_distance(
                to_bytes(self.evaluator.real_images(IMAGES_COMPARED))
            )
            real_mean = Value(real.mean, real.n)
            real_smallest = Value(real.smallest, real.n)
        return [
            Row(
                name,
                f"pixel distance, {SAMPLES} of one caption",
                Value(float(np.mean(means)), n, std),
                real_mean,
            ),
            Row(
                f"{name}_smallest",
                "the smallest of these",
                Value(smallest, n),
                real_smallest,
            ),
            Row(
                "diversity_captions",
                "pixel distance, different captions",
                Value(different.mean, different.n),
                real_mean,
            ),
        ]


def to_bytes(images: np.ndarray) -> np.ndarray:
    """float32 [..., 3] in [-1, 1], rounded to 8 bits before -> uint8."""
    return np.rint((images + 1.0) * 127.5).astype(np.uint8)
