"""Retrieval by the DAMSM's global features: R@1, R@5 and R@10, both ways."""

from typing import NamedTuple

import numpy as np

from attngan_tf.evaluation.metrics.metric import TIE, Metric, blocks, unit
from attngan_tf.runs.scores import Row, Value

CUTOFFS = (1, 5, 10)
ROWS = 256  # captions scored at once: 52 MB for 40,000 images


class Retrieval(NamedTuple):
    """R@k in percent, by k of CUTOFFS."""

    text_to_image: dict[int, float]
    image_to_text: dict[int, float]


def retrieval(
    image_features: np.ndarray,
    sentence_features: np.ndarray,
    owners: np.ndarray,
) -> Retrieval:
    """How often captions retrieve their image, and images a caption.

    Text to image: the percentage of captions whose image is among the k
    closest by cosine. Image to text: the percentage of images with one of
    their captions among the k closest. Others that are as close as the right
    one (to 1e-6) rank before it: features that are all equal retrieve nothing.

    Time grows with N M: 5,000 images with 25,000 captions take seconds.

    Args:
      image_features: [N, D].
      sentence_features: [M, D].
      owners: int [M], the index of each caption's image; each image has a
        caption.

    Raises:
      ValueError: a feature is not finite.
    """
    images, sentences = unit(image_features), unit(sentence_features)
    closer, own = _closer_images(images, sentences, owners)
    best = np.full(len(images), -np.inf, np.float32)
    np.maximum.at(best, owners, own)
    return Retrieval(
        _recall(closer),
        _recall(_closer_captions(images, sentences, owners, best)),
    )


def _closer_images(images, sentences, owners):
    """Number of images closer than a caption's own, and its cosine, [M]."""
    closer, own = [], []
    for rows in blocks(len(sentences), ROWS):
        cosines = sentences[rows] @ images.T  # [n, N]
        right = np.take_along_axis(cosines, owners[rows, None], axis=1)
        closer.append((cosines >= right - TIE).sum(axis=1) - 1)  # itself
        own.append(right[:, 0])
    return np.concatenate(closer), np.concatenate(own)


def _closer_captions(images, sentences, owners, best):
    """Number of other captions closer than an image's best own one, [N]."""
    closer = np.zeros(len(images), np.int64)
    for rows in blocks(len(sentences), ROWS):
        above = sentences[rows] @ images.T >= best - TIE  # [n, N]
        np.put_along_axis(above, owners[rows, None], False, axis=1)
        closer += above.sum(axis=0)
    return closer


def _recall(closer: np.ndarray) -> dict[int, float]:
    return {k: float(100 * np.mean(closer < k)) for k in CUTOFFS}


class RetrievalMetric(Metric):
    """R@1, 5 and 10 of the real images and all their captions."""

    def rows(self, features):
        images = self.evaluator.real_image_features
        sentences = self.evaluator.sentences
        owners = self.evaluator.held_out.owners
        found = retrieval(images, sentences, owners)
        return [
            Row(f"{name}_r{k}", f"{label}, R@{k}, %", None, Value(percent, n))
            for name, label, n in [
                ("text_to_image", "caption finds image", len(sentences)),
                ("image_to_text", "image finds caption", len(images)),
            ]
            for k, percent in getattr(found, name).items()
        ]
