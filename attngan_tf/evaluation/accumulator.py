"""What is kept of drawn pictures: sums, where scores can be had from them."""

from collections.abc import Mapping

import numpy as np

from attngan_tf.evaluation.metrics.fid import RunningMoments
from attngan_tf.evaluation.metrics.inception_score import RunningInceptionScore
from attngan_tf.evaluation.metrics.kid import RunningKernelDistance
from attngan_tf.sampling import to_uint8


class Kept:
    """What scores need of N drawn pictures.

    Memory does not grow with N but for the pictures' image features, 1 kB a
    picture where D is 256.

    Args:
      rows: int [N], the captions drawn, places among all of the split.
      pictures: how many of the first pictures are kept themselves.
      moments: of the pooled features; None: not asked for, as below.
      kernel: distance of the pooled features.
      inception: score of the probabilities.
    """

    def __init__(
        self,
        rows: np.ndarray,
        *,
        pictures: int = 0,
        moments: RunningMoments | None = None,
        kernel: RunningKernelDistance | None = None,
        inception: RunningInceptionScore | None = None,
    ):
        self.rows = rows
        self.moments = moments
        self.kernel = kernel
        self.inception = inception
        self._pictures = pictures
        self._n = 0
        self._images = []
        self._image_features = []
        self._part_colours = []

    def update(self, batch: Mapping[str, np.ndarray]) -> None:
        """Adds the next pictures and what was said of them.

        Args:
          batch: images float32 [b, H, W, 3] in [-1, 1]; image_features, pooled,
            probabilities and part_colours [b, ...], as far as they are asked
            for.
        """
        missing = max(self._pictures - self._n, 0)
        if missing:
            self._images.append(to_uint8(batch["images"][:missing]).numpy())
        if "image_features" in batch:
            self._image_features.append(batch["image_features"])
        if "part_colours" in batch:
            self._part_colours.append(batch["part_colours"])
        if self.moments:
            self.moments.update(batch["pooled"])
        if self.kernel:
            self.kernel.update(batch["pooled"])
        if self.inception:
            self.inception.update(self._n, batch["probabilities"])
        self._n += len(batch["images"])

    @property
    def images(self) -> np.ndarray:
        """The first pictures, uint8 [pictures or fewer, H, W, 3]."""
        return np.concatenate(self._images)

    @property
    def image_features(self) -> np.ndarray:
        """Of all pictures, by the judge: float32 [N, D]."""
        return np.concatenate(self._image_features)

    @property
    def part_colours(self) -> np.ndarray:
        """Of all pictures, by `PartClassifier`: int32 [N, P]."""
        return np.concatenate(self._part_colours)
