"""Images and captions that networks are scored on."""

import functools

import numpy as np
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.evaluation.batches import BATCH, as_stored
from attngan_tf.evaluation.metrics.metric import blocks
from attngan_tf.evaluation.metrics.r_precision import r_precision
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs.scores import Value

# Captions that each image chooses from in R-precision; fewer if there are not
# enough captions of other classes.
CANDIDATES = 100
FOLDS = 10  # parts of the images for the standard deviation of R-precision


def evenly_spread(total: int, count: int) -> list[int]:
    """At most `count` of the indices 0 to total - 1, spread evenly."""
    count = min(count, total)
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


class HeldOut:
    """Images of a split, with all their captions.

    Args:
      records: the split.
      vocabulary: maps words to ids.
      words_num: maximum number of words of a caption.
      count: maximum number of images.

    Raises:
      UserError: the split has fewer than two images.
    """

    def __init__(
        self,
        *,
        records: Records,
        vocabulary: Vocabulary,
        words_num: int,
        count: int,
    ):
        self.records = records
        self.indices = evenly_spread(len(records), count)
        groups, self.captions = [], []
        for index in self.indices:  # one by one: rows contain image bytes
            row = records.row(index)
            groups.append(row["class_id"])
            self.captions.append([text.decode() for text in row["captions"]])
        self.groups = np.array(groups)
        counts = [len(captions) for captions in self.captions]
        self.owners = np.repeat(np.arange(len(counts)), counts)  # of captions
        self.lines = [c for captions in self.captions for c in captions]
        self.token_ids, self.lengths = vocabulary.encode(
            tf.constant(self.lines), words_num
        )
        # With a single class, each image is a group of its own.
        if len(set(self.groups)) == 1:
            self.groups = np.arange(len(counts))
        self.candidates = min(CANDIDATES, 1 + self._fewest_others())
        self._images: dict[int, tf.data.Dataset] = {}
        # Traced once, since encoders are scored often in training.
        self._sentence_features = _traced(_sentence_features)
        self._pooled_features = _traced(_pooled_features)

    def _fewest_others(self) -> int:
        """The min over images of the number of other groups' captions."""
        _, counts = np.unique(self.groups[self.owners], return_counts=True)
        others = int(counts.sum() - counts.max())
        if not others:
            raise UserError(
                f"the {self.records.split} split must have at least 2 images "
                f"to be scored on; received {len(self.indices)}; move images "
                "to it"
            )
        return others

    def first_captions(self) -> list[str]:
        """The first caption of each image."""
        return [captions[0] for captions in self.captions]

    def caption_rows(self, count: int) -> np.ndarray:
        """The captions to generate images for: int [count], indices of `lines`.

        The first caption of every image, then the second of every image, and
        so on; after the last caption, from the start again.
        """
        _, first = np.unique(self.owners, return_index=True)
        rank = np.arange(len(self.owners)) - first[self.owners]
        return np.resize(np.argsort(rank, kind="stable"), count)

    def r_precision(
        self,
        image_features: np.ndarray,
        sentences: np.ndarray,
        rows: np.ndarray,
    ) -> Value:
        """R-precision of images of the captions `rows`.

        The other candidates depend only on the caption, so that real and
        generated images of the same captions choose among the same ones.

        Args:
          image_features: float32 [N, D].
          sentences: features of all captions, see `sentences`.
          rows: int [N], indices of the true captions.
        """
        return r_precision(
            image_features,
            sentences,
            rows,
            self.groups[self.owners],
            candidates=self.candidates,
            folds=min(FOLDS, len(rows)),
            seed=0,
        )

    def sentences(self, text_encoder: TextEncoder) -> np.ndarray:
        """Sentence features of every caption, float32 [captions, D]."""
        return np.concatenate(
            [
                self._sentence_features(
                    text_encoder, self.token_ids[rows], self.lengths[rows]
                )
                for rows in blocks(len(self.owners), BATCH)
            ]
        )

    def images(self, size: int) -> tf.data.Dataset:
        """Centre crops in batches [B, size, size, 3] in [-1, 1].

        They are rounded to 8 bits, as generated images are.
        """
        if size not in self._images:  # traced once
            self._images[size] = views.centre_views(
                self.records, (size,), BATCH, self.indices
            ).map(lambda batch: as_stored(batch[f"images_{size}"]))
        return self._images[size]

    def pooled_features(
        self, image_encoder: ImageEncoder, size: int
    ) -> np.ndarray:
        """Pooled features of the images at a size, float32 [N, C]."""
        return np.concatenate(
            [
                self._pooled_features(image_encoder, batch)
                for batch in self.images(size)
            ]
        )

    def real_score(
        self,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        pooled: np.ndarray,
    ) -> Value:
        """R-precision of the real images, each with each of its captions."""
        features = image_encoder.image_projection(pooled).numpy()
        return self.r_precision(
            features[self.owners],
            self.sentences(text_encoder),
            np.arange(len(self.owners)),
        )


_traced = functools.partial(tf.function, reduce_retracing=True, autograph=False)


def _sentence_features(text_encoder, token_ids, lengths):
    return text_encoder(token_ids, lengths)["sentence_features"]


def _pooled_features(image_encoder, images):
    features = image_encoder.backbone_features(images)
    return tf.cast(features["pooled"], tf.float32)
