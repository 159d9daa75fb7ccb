"""Do pictures of one caption differ, and those of several?"""

from collections.abc import Sequence

import numpy as np

from attngan_tf.evaluation import held_out
from attngan_tf.evaluation.metrics.diversity import pairwise_distance
from attngan_tf.runs.scores import Row, Value
from attngan_tf.text_to_image import TextToImage

SAMPLES = 16  # pictures of one caption that are compared
ONE_CAPTIONS = 10  # captions that have so many drawn


def diversity_rows(
    model: TextToImage,
    captions: Sequence[str],
    images: np.ndarray,
    real_images: np.ndarray,
) -> list[Row]:
    """Pixel distances; beside each, that of different real pictures.

    Args:
      model: draws SAMPLES pictures of some captions.
      captions: of which ONE_CAPTIONS are taken, spread evenly.
      images: drawn ones of different captions, uint8 [N, H, W, 3].
      real_images: uint8 [M, H, W, 3].
    """
    chosen = held_out.take(captions, ONE_CAPTIONS)
    same = held_out.one_caption_distances(
        model, [captions[i] for i in chosen], SAMPLES
    )
    means = [distance.mean for distance in same]
    count = sum(distance.n for distance in same)
    smallest = min(distance.smallest for distance in same)
    different, real = map(pairwise_distance, (images, real_images))
    spread = Value(float(np.mean(means)), count, float(np.std(means)))
    mean, least = Value(real.mean, real.n), Value(real.smallest, real.n)
    one, label = "diversity_one_caption", f"{SAMPLES} of one caption"
    return [
        Row(one, f"pixel distance, {label}", spread, mean),
        Row(
            f"{one}_smallest",
            "the smallest of these",
            Value(smallest, count),
            least,
        ),
        Row(
            "diversity_captions",
            "pixel distance, different captions",
            Value(different.mean, different.n),
            mean,
        ),
    ]
