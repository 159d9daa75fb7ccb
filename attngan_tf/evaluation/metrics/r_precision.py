"""R-precision: does a picture find its own caption again? (paper, 4)."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.cosine import TIE, unit
from attngan_tf.evaluation.metrics.metric import IMAGE_FEATURES, Metric
from attngan_tf.runs.scores import Row, Value

ROWS = 256  # pictures scored at once: about 30 MB at D = 256


class RPrecision(NamedTuple):
    """Percent of pictures whose true caption ranks first among all."""

    mean: float  # over all n pictures
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
    """R-precision with R = 1 by cosine of the DAMSM's global features.

    Each picture ranks its true caption among `candidates` captions; the others
    are drawn without repetition from captions of other groups. A distractor as
    close as the truth (to 1e-6) is a miss: a generator or encoder that gives
    every caption one vector scores 0, not 100.

    Args:
      image_features: [N, D], one row a picture.
      sentence_features: [N, D], the caption each picture was drawn from.
      groups: int [N]; captions of one group never compete. The class of each
        picture on CUB; on COCO, which has no classes, the picture's id.
      candidates: captions each picture chooses from, the true one included.
      folds: parts the pictures are dealt into, at random, for `std`.
      seed: of the draws.
      pool_features: [M, D], the captions distractors are drawn from;
        `sentence_features` when absent.
      pool_groups: int [M], the groups of the pool.

    Returns:
      The score in percent.

    Raises:
      ValueError: shapes disagree, a feature is not finite, fewer pictures than
        folds, or too few captions of other groups.
    """
    if (pool_features is None) != (pool_groups is None):
        raise ValueError("pool_features and pool_groups go together")
    if pool_features is None:
        pool_features, pool_groups = sentence_features, groups
    groups, pool_groups = np.asarray(groups), np.asarray(pool_groups)
    _check(image_features, sentence_features, groups)
    _check(pool_features, pool_features, pool_groups)
    _check_sizes(image_features, pool_features, folds)
    rng = np.random.default_rng(seed)
    drawn = _draw(groups, pool_groups, candidates - 1, rng)  # [N, K]
    hits = _hits(
        unit(image_features),
        unit(sentence_features),
        unit(pool_features),
        drawn,
    )
    parts = np.array_split(rng.permutation(hits), folds)
    scores = [100 * part.mean() for part in parts]
    mean, std = float(100 * hits.mean()), float(np.std(scores))
    return RPrecision(mean, std, len(hits))


def _hits(images, sentences, pool, drawn) -> np.ndarray:
    """Whether each picture is closest to its own sentence: bool [N]."""
    hits = np.empty(len(images), bool)
    for start in range(0, len(images), ROWS):
        rows = slice(start, start + ROWS)
        truth = np.sum(images[rows] * sentences[rows], axis=1)  # [n]
        others = pool[drawn[rows]] @ images[rows][:, :, None]  # [n, K, 1]
        hits[rows] = truth > others.max(axis=(1, 2)) + TIE
    return hits


def _draw(groups, pool_groups, count, rng) -> np.ndarray:
    """Places in the pool, int [N, count], none twice, none of the own group.

    Floyd's sampling, all rows at once: step j takes a number up to j, or j
    itself when that number is taken already; every subset is equally likely.
    """
    if count < 1:
        raise ValueError(f"candidates must be 2 or more. Received: {count + 1}")
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
    drawn = np.empty((len(groups), count), np.int64)
    for step in range(count):
        last = free - count + step
        number = rng.integers(0, last, endpoint=True)
        taken = (drawn[:, :step] == number[:, None]).any(axis=1)
        drawn[:, step] = np.where(taken, last, number)
    # Numbers count the other groups' captions: step over the own group's.
    drawn += own[:, None] * (drawn >= first[:, None])
    return order[drawn]


def _check(features, others, groups) -> None:
    if features.ndim != 2 or features.shape != others.shape:
        raise ValueError(
            "features must be two [N, D] arrays of one shape. "
            f"Received: {features.shape} and {others.shape}"
        )
    if groups.shape != features.shape[:1]:
        raise ValueError(
            f"groups must be int [N] for features {features.shape}. "
            f"Received: {groups.shape}"
        )
    if not (np.isfinite(features).all() and np.isfinite(others).all()):
        raise ValueError("features must be finite. Received: NaN or infinity")


def _check_sizes(features, pool_features, folds) -> None:
    N, D = features.shape
    if pool_features.shape[1] != D:
        raise ValueError(
            f"pool_features must have the D of the pictures, {D}. "
            f"Received: {pool_features.shape}"
        )
    if not 1 <= folds <= N:
        raise ValueError(f"folds must be 1 to N = {N}. Received: {folds}")


class RPrecisionMetric(Metric):
    """R-precision; beside it, that of the real images that were described.

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
