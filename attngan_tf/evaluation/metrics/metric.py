"""What a metric is: the features it needs, and how it is computed."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from attngan_tf.config import Config
from attngan_tf.runs.scores import Row

# Features of generated images that metrics may need, each [b, ...] in a batch.
IMAGES = "images"  # float32 [b, H, W, 3] in [-1, 1], rounded to 8 bits
POOLED = "pooled"  # float32 [b, C], of the feature extractor
PROBABILITIES = "probabilities"  # float32 [b, K], of the feature extractor
IMAGE_FEATURES = "image_features"  # float32 [b, D], of the DAMSM
PART_COLOURS = "part_colours"  # int32 [b, P], of the part classifier

# A caption encoded in two batches differs by about 1e-7 in cosine: captions
# that are closer than this count as equal.
TIE = 1e-6


class Metric:
    """A metric of generated images.

    A subclass names the features it reads in `needs`, and returns its scores
    from `rows`. It is registered by a line in `registry.METRICS`.

    Args:
      evaluator: the `Evaluator`, which provides the number of images, their
        captions, and the features of real images.
    """

    needs: ClassVar[str] = ""  # a name above; "": the metric reads no images

    def __init__(self, evaluator):
        self.evaluator = evaluator

    @property
    def count(self) -> int:
        """The number of generated images that it reads."""
        return self.evaluator.num_images if self.needs else 0

    @classmethod
    def missing(cls, config: Config, extractor) -> str:
        """Why the metric does not apply to a model; "" if it does.

        Args:
          config: the model's.
          extractor: a `FeatureExtractor`; None: the run's own image encoder.
        """
        del config
        pooled = extractor is None or extractor.pooled_size is not None
        if cls.needs == POOLED and not pooled:
            return (
                "needs a feature extractor that returns pooled features; "
                f"{extractor.name} returns none; choose another with --backend"
            )
        return ""

    def rows(self, features: np.ndarray | None) -> list[Row]:
        """The scores of generated images, and the same of real images.

        Args:
          features: those in `needs`, of the first `count` generated images,
            [count, ...]; None if `needs` is "".
        """
        raise NotImplementedError

    def conditions(self) -> dict:
        """Settings that only this metric depends on, as JSON values."""
        return {}

    def warning(self) -> str:
        """A warning about its scores for their reader; "" if there is none."""
        return ""


def finite(features: np.ndarray) -> np.ndarray:
    """The features as an array; raises ValueError for NaN or infinity."""
    features = np.asarray(features)
    if not np.isfinite(features).all():
        raise ValueError("features must be finite. Received: NaN or infinity")
    return features


def unit(features: np.ndarray) -> np.ndarray:
    """Rows [N, D] scaled to length 1, float32; rows of zeros stay zero.

    Raises:
      ValueError: a feature is not finite.
    """
    features = finite(features).astype(np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(np.float32).tiny)


def blocks(count: int, rows: int) -> Iterator[slice]:
    """Slices of at most `rows` of `count` rows, to limit memory."""
    for start in range(0, count, rows):
        yield slice(start, start + rows)
