"""Retrieval by the DAMSM's global features: R@1, R@5 and R@10, both ways."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.cosine import TIE, unit
from attngan_tf.evaluation.metrics.metric import Metric
from attngan_tf.runs.scores import Row, Value

CUTOFFS = (1, 5, 10)
ROWS = 256  # captions scored at once: 52 MB against 40,000 pictures


class Retrieval(NamedTuple):
    """R@k in percent, by k of CUTOFFS."""

    text_to_image: dict[int, float]
    image_to_text: dict[int, float]
    pictures: int
    captions: int


def retrieval(
    image_features: np.ndarray,
    sentence_features: np.ndarray,
    owners: np.ndarray,
) -> Retrieval:
    """How often a caption finds its picture, and a picture one of its captions.

    Text to image: share of captions whose picture is among the k closest by
    cosine. Image to text: share of pictures with a caption of their own among
    the k closest. What is as close as the right one (to 1e-6) is counted as
    closer: features that are all the same find nothing.

    Time grows with N M: 5,000 pictures with 25,000 captions take seconds.

    Args:
      image_features: [N, D].
      sentence_features: [M, D].
      owners: int [M], the picture each caption belongs to, 0 to N - 1.

    Raises:
      ValueError: shapes disagree, a feature is not finite, an owner is none of
        the pictures, or a picture has no caption.
    """
    owners = np.asarray(owners)
    _check(image_features, sentence_features, owners)
    images, sentences = unit(image_features), unit(sentence_features)
    closer, own = _closer_pictures(images, sentences, owners)
    best = np.full(len(images), -np.inf, np.float32)
    np.maximum.at(best, owners, own)
    return Retrieval(
        _recall(closer),
        _recall(_closer_captions(images, sentences, owners, best)),
        len(images),
        len(sentences),
    )


def _closer_pictures(images, sentences, owners):
    """Other pictures closer than the own, int [M]; the own's cosine, [M]."""
    closer, own = [], []
    for start in range(0, len(sentences), ROWS):
        rows = slice(start, start + ROWS)
        cosines = sentences[rows] @ images.T  # [n, N]
        right = np.take_along_axis(cosines, owners[rows, None], axis=1)
        closer.append((cosines >= right - TIE).sum(axis=1) - 1)  # itself
        own.append(right[:, 0])
    return np.concatenate(closer), np.concatenate(own)


def _closer_captions(images, sentences, owners, best):
    """Others' captions closer than a picture's own best, int [N]."""
    closer = np.zeros(len(images), np.int64)
    for start in range(0, len(sentences), ROWS):
        rows = slice(start, start + ROWS)
        above = sentences[rows] @ images.T >= best - TIE  # [n, N]
        np.put_along_axis(above, owners[rows, None], False, axis=1)
        closer += above.sum(axis=0)
    return closer


def _recall(closer: np.ndarray) -> dict[int, float]:
    return {k: float(100 * np.mean(closer < k)) for k in CUTOFFS}


def _check(images, sentences, owners) -> None:
    if images.ndim != 2 or sentences.ndim != 2:
        shapes = f"{images.shape} and {sentences.shape}"
        raise ValueError(f"features must be [N, D], [M, D]. Received: {shapes}")
    if images.shape[1] != sentences.shape[1]:
        raise ValueError(
            "pictures and captions must have features of one size. "
            f"Received: {images.shape} and {sentences.shape}"
        )
    if not (np.isfinite(images).all() and np.isfinite(sentences).all()):
        raise ValueError("features must be finite. Received: NaN or infinity")
    if owners.shape != sentences.shape[:1] or owners.dtype.kind not in "iu":
        raise ValueError(
            f"owners must be int [M] for captions {sentences.shape}. "
            f"Received: {owners.dtype} {owners.shape}"
        )
    N = len(images)
    if not np.array_equal(np.unique(owners), np.arange(N)):
        raise ValueError(
            f"owners must be 0 to {N - 1}, each of them with a caption. "
            f"Received: {len(np.unique(owners))} different ones from "
            f"{owners.min(initial=0)} to {owners.max(initial=0)}"
        )


class RetrievalMetric(Metric):
    """R@1, 5 and 10 of the real images and all their captions."""

    def rows(self):
        found = retrieval(
            self.evaluator.real_image_features,
            self.evaluator.sentences,
            self.evaluator.held_out.owners,
        )
        return [
            Row(f"{name}_r{k}", f"{label}, R@{k}, %", None, Value(percent, n))
            for name, label, n in [
                ("text_to_image", "caption finds image", found.captions),
                ("image_to_text", "image finds caption", found.pictures),
            ]
            for k, percent in getattr(found, name).items()
        ]
