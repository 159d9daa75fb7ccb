"""Do images differ from each other? Those of a collapsed generator do not."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import IMAGES, Metric
from attngan_tf.runs.scores import Row, Value

IMAGES_COMPARED = 100  # images of different captions that are compared
SAMPLES = 16  # images of one caption that are compared


class PairwiseDistance(NamedTuple):
    """Distances between images: 0 if equal, 1 between black and white."""

    mean: float  # over all pairs
    smallest: float  # exactly 0 if and only if two images are equal


def pairwise_distance(images: np.ndarray) -> PairwiseDistance:
    """Root-mean-square difference of pixels, over all pairs of images.

    Sums of squares are exact: bytes in float64 give whole numbers, below 2^53
    for any image with fewer than 10^11 values.

    Args:
      images: uint8 [N, H, W, 3], N of 2 or more; 100 images of 256 x 256 take
        160 MB.
    """
    pixels = images.reshape(len(images), -1).astype(np.float64)  # [N, P]
    N, P = pixels.shape
    products = pixels @ pixels.T
    squares = np.diag(products)
    i, j = np.triu_indices(N, k=1)
    differences = squares[i] + squares[j] - 2 * products[i, j]
    distances = np.sqrt(differences / P) / 255
    return PairwiseDistance(float(distances.mean()), float(distances.min()))


class DiversityMetric(Metric):
    """Pixel distances of generated images, and those of real images.

    The distances of one caption are those of SAMPLES images of each of a few
    captions.
    """

    needs = IMAGES

    @property
    def count(self):
        return min(self.evaluator.num_images, IMAGES_COMPARED)

    def rows(self, features):
        evaluator, real = self.evaluator, {}
        if evaluator.real_scores:
            images = to_bytes(evaluator.real_images(IMAGES_COMPARED))
            found = pairwise_distance(images)._asdict()
            real = {k: Value(x, len(images)) for k, x in found.items()}
        means, smallest = zip(
            *map(pairwise_distance, evaluator.images_of_one_caption(SAMPLES)),
            strict=True,
        )
        n = SAMPLES * len(means)
        std = float(np.std(means)) if len(means) > 1 else None
        different = pairwise_distance(to_bytes(features)).mean
        name, label = "diversity_one_caption", "pixel distance"
        return [
            Row(
                name,
                f"{label}, {SAMPLES} of one caption",
                Value(float(np.mean(means)), n, std),
                real.get("mean"),
            ),
            Row(
                f"{name}_smallest",
                "the smallest of these",
                Value(min(smallest), n),
                real.get("smallest"),
            ),
            Row(
                "diversity_captions",
                f"{label}, different captions",
                Value(different, len(features)),
                real.get("mean"),
            ),
        ]


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] that were rounded to 8 bits, as uint8."""
    return np.rint((images + 1.0) * 127.5).astype(np.uint8)
