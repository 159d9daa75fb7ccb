"""R-precision: does an image retrieve its own caption? (paper, Section 4)."""

import numpy as np

from attngan_tf.evaluation.metrics.metric import (
    IMAGE_FEATURES,
    TIE,
    Metric,
    blocks,
    unit,
)
from attngan_tf.runs.scores import Row, Value

ROWS = 256  # images scored at once: about 30 MB at D = 256


def r_precision(
    image_features: np.ndarray,
    sentence_features: np.ndarray,
    own: np.ndarray,
    groups: np.ndarray,
    *,
    candidates: int = 100,
    folds: int = 10,
    seed: int,
) -> Value:
    """R-precision with R = 1, by cosine of the DAMSM's global features.

    Each image ranks its own caption among `candidates` captions; the others
    are sampled without replacement from captions of other groups. If another
    caption is as close as its own (to 1e-6), the image counts as a miss:
    a generator or encoder that returns one vector for all scores 0, not 100.

    Args:
      image_features: [N, D].
      sentence_features: [M, D], of all captions.
      own: int [N], the index of each image's caption.
      groups: int [M]; captions of one group never compete. The class of each
        caption's image on CUB; on COCO, which has no classes, the image's id.
      candidates: captions each image chooses from, including its own.
      folds: parts into which the images are split, at random.
      seed: seed of the random choices.

    Returns:
      The percentage of images whose own caption ranks first, and the standard
      deviation of the folds' percentages.

    Raises:
      ValueError: a feature is not finite, or there are too few captions of
        other groups.
    """
    rng = np.random.default_rng(seed)
    sampled = _sample(groups[own], groups, candidates - 1, rng)  # [N, K]
    images, sentences = unit(image_features), unit(sentence_features)
    hits = np.empty(len(images), bool)
    for rows in blocks(len(images), ROWS):
        truth = np.sum(images[rows] * sentences[own[rows]], axis=1)  # [n]
        others = sentences[sampled[rows]] @ images[rows][:, :, None]
        hits[rows] = truth > others.max(axis=(1, 2)) + TIE  # of [n, K, 1]
    parts = np.array_split(rng.permutation(hits), folds)
    scores = [100 * part.mean() for part in parts]
    return Value(float(100 * hits.mean()), len(hits), float(np.std(scores)))


def _sample(groups, pool_groups, count, rng) -> np.ndarray:
    """Indices of the pool, int [N, count], without repetition or own group.

    Floyd's sampling, for all rows at once: step j takes a number up to j, or j
    itself if that number is taken already; every subset is equally likely.
    """
    order = np.argsort(pool_groups, kind="stable")
    first = np.searchsorted(pool_groups[order], groups, "left")  # [N]
    own = np.searchsorted(pool_groups[order], groups, "right") - first
    free = len(order) - own  # captions of other groups
    if free.min() < count:
        worst = int(free.argmin())
        raise ValueError(
            f"{count + 1} candidates need {count} captions of other groups; "
            f"group {groups[worst]} has {free[worst]}"
        )
    sampled = np.empty((len(groups), count), np.int64)
    for step in range(count):
        last = free - count + step
        number = rng.integers(0, last, endpoint=True)
        taken = (sampled[:, :step] == number[:, None]).any(axis=1)
        sampled[:, step] = np.where(taken, last, number)
    # Numbers count the captions of other groups: skip those of the own group.
    sampled += own[:, None] * (sampled >= first[:, None])
    return order[sampled]


class RPrecisionMetric(Metric):
    """R-precision, and that of the real images of the same captions.

    Both have the same candidates.
    """

    needs = IMAGE_FEATURES

    def rows(self, features):
        evaluator, held_out = self.evaluator, self.evaluator.held_out
        captions, sets = held_out.caption_rows(self.count), [features]
        if evaluator.real_scores:
            owners = held_out.owners[captions]
            sets.append(evaluator.real_image_features[owners])
        values = [
            held_out.r_precision(x, evaluator.sentences, captions) for x in sets
        ]
        label = f"R-precision among {held_out.candidates}, %"
        return [Row("r_precision", label, *values)]

    def conditions(self):
        return {"candidates": self.evaluator.held_out.candidates}
