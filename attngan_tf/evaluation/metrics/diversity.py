"""Do images differ from each other? Those of a collapsed generator do not."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import IMAGES, Metric
from attngan_tf.runs.scores import Row, Value

IMAGES_COMPARED = 100  # images of different captions that are compared
SAMPLES = 16  # images of one caption that are compared

ROWS = 512  # images on either side of a block of pairs
COLUMNS = 4096  # values of each image at a time: 17 MB of float64 a side


class PairwiseDistance(NamedTuple):
    """Distances between images: 0 if equal, 1 between black and white."""

    mean: float  # over all pairs
    smallest: float  # exactly 0 if and only if two images are equal
    n: int  # images


def pairwise_distance(images: np.ndarray) -> PairwiseDistance:
    """Root-mean-square difference of pixels, over all pairs of images.

    Time grows with N^2: 1,000 images of 256 x 256 take seconds, 30,000 an
    hour.

    Args:
      images: uint8 [N, H, W, 3], N of 2 or more.
    """
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
            if squares.size:  # a last block of one image has no pair
                total += np.sqrt(squares).sum()
                smallest = min(smallest, squares.min())
    unit = 255 * np.sqrt(P)
    pairs = N * (N - 1) / 2
    return PairwiseDistance(
        float(total / unit / pairs), float(np.sqrt(smallest) / unit), N
    )


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums of squared differences [n, m] of bytes a [n, P] and b [m, P].

    They are exact: bytes in float64 give whole numbers, below 2^53 for any
    image with fewer than 10^11 values. Equal images therefore give 0 exactly.
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
    """Pixel distances of generated images; beside them, those of real images.

    The distances of one caption are those of SAMPLES images of each of a few
    captions.
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
        real_mean = real_smallest = None
        if self.evaluator.real_scores:
            real = pairwise_distance(
                to_bytes(self.evaluator.real_images(IMAGES_COMPARED))
            )
            real_mean = Value(real.mean, real.n)
            real_smallest = Value(real.smallest, real.n)
        name, label = "diversity_one_caption", "pixel distance"
        one_caption = Value(float(np.mean(means)), n, std)
        captions = Value(different.mean, different.n)
        return [
            Row(
                name,
                f"{label}, {SAMPLES} of one caption",
                one_caption,
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
                f"{label}, different captions",
                captions,
                real_mean,
            ),
        ]


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] that were rounded to 8 bits, as uint8."""
    return np.rint((images + 1.0) * 127.5).astype(np.uint8)
