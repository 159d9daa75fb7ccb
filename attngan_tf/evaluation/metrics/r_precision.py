"""R-precision: does an image retrieve its own caption? (paper, Section 4)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.cosine import TIE, unit
from attngan_tf.evaluation.metrics.metric import IMAGE_FEATURES, Metric, finite
from attngan_tf.runs.scores import Row, Value

ROWS = 256  # images scored at once: about 30 MB at D = 256


class RPrecision(NamedTuple):
    """Percent of images whose true caption ranks first among all."""

    mean: float  # over all n images
    std: float  # of the folds' scores
    n: int


def r_precision(
    image_features: np.ndarray,
    sentence_features: np.ndarray,
    groups: np.ndarray,
    *,
    candidates: int = 100,
    folds: int = 10,
    seed: int,
    pool_features: np.ndarray | None = None,
    pool_groups: np.ndarray | None = None,
) -> RPrecision:
    """R-precision with R = 1, by cosine of the DAMSM's global features.

    Each image ranks its true caption among `candidates` captions; the others
    are sampled without replacement from captions of other groups. If another
    caption is as close as the true one (to 1e-6), the image counts as a miss:
    a generator or encoder that returns one vector for all scores 0, not 100.

    Args:
      image_features: [N, D].
      sentence_features: [N, D], of the caption of each image.
      groups: int [N]; captions of one group never compete. The class of each
        image on CUB; on COCO, which has no classes, the image's id.
      candidates: captions each image chooses from, including the true one.
      folds: parts into which the images are split, at random, for `std`.
      seed: of the random choices.
      pool_features: [M, D], captions the other candidates are sampled from;
        None: `sentence_features`.
      pool_groups: int [M], the groups of the pool.

    Returns:
      The score in percent.

    Raises:
      ValueError: a feature is not finite, or there are too few captions of
        other groups.
    """
    if pool_features is None:
        pool_features, pool_groups = sentence_features, groups
    rng = np.random.default_rng(seed)
    sampled = _sample(groups, pool_groups, candidates - 1, rng)  # [N, K]
    images, sentences, pool = (
        unit(finite(x))
        for x in (image_features, sentence_features, pool_features)
    )
    hits = np.empty(len(images), bool)
    for start in range(0, len(images), ROWS):
        rows = slice(start, start + ROWS)
        truth = np.sum(images[rows] * sentences[rows], axis=1)  # [n]
        others = pool[sampled[rows]] @ images[rows][:, :, None]  # [n, K, 1]
        hits[rows] = truth > others.max(axis=(1, 2)) + TIE
    parts = np.array_split(rng.permutation(hits), folds)
    scores = [100 * part.mean() for part in parts]
    mean, std = float(100 * hits.mean()), float(np.std(scores))
    return RPrecision(mean, std, len(hits))


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
    """R-precision; beside it, that of the real images of the same captions.

    Both choose among the same captions.
    """

    needs = frozenset({IMAGE_FEATURES})

    def __init__(self, evaluator):
        super().__init__(evaluator)
        self._features = []

    def update(self, batch):
        self._features.append(batch[IMAGE_FEATURES])

    def rows(self):
        evaluator, held_out = self.evaluator, self.evaluator.held_out
        rows = evaluator.caption_rows(self.count)
        features = [np.concatenate(self._features)]
        if evaluator.real_scores:
            owners = held_out.owners[rows]
            features.append(evaluator.real_image_features[owners])
        scores = [
            held_out.r_precision(x, evaluator.sentences, rows) for x in features
        ]
        label = f"R-precision among {held_out.candidates}, %"
        values = [Value(x.mean, x.n, x.std) for x in scores]
        return [Row("r_precision", label, *values)]
