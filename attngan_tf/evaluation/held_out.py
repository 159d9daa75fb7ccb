"""Scores on held-out pictures and captions."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.data import views
from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.evaluation.generated import BATCH, Drawing, Look, as_stored
from attngan_tf.evaluation.metrics.diversity import (
    PairwiseDistance,
    pairwise_distance,
)
from attngan_tf.evaluation.metrics.fid import (
    Statistics,
    frechet_distance,
    statistics,
)
from attngan_tf.evaluation.metrics.r_precision import RPrecision, r_precision
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs.scores import Value
from attngan_tf.sampling import Sampler, to_uint8

FOLDS = 10  # parts of the pictures that R-precision's std is taken over
DIVERSITY_PICTURES = 100  # whose distances to each other are measured


def batched(function, rows: np.ndarray | tf.Tensor) -> dict[str, np.ndarray]:
    """A function's dict of outputs over all rows, computed in batches."""
    parts = [
        {name: value.numpy() for name, value in found.items()}
        for first in range(0, len(rows), BATCH)
        if (found := function(rows[first : first + BATCH]))
    ]
    return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def take(records: Records, count: int) -> list[int]:
    """At most `count` places of records, spread evenly."""
    count = min(count, len(records))
    return np.linspace(0, len(records) - 1, count).round().astype(int).tolist()


class HeldOut:
    """Pictures of a split, and all their captions, to score networks on.

    Args:
      records: the split.
      vocabulary: gives the ids of words.
      words_num: words of a caption that are used.
      count: at most so many pictures.
      candidates: captions each picture chooses from; fewer if the split has
        not as many of other classes.

    Raises:
      UserError: the split is too small to score anything on.
    """

    def __init__(
        self,
        *,
        records: Records,
        vocabulary: Vocabulary,
        words_num: int,
        count: int,
        candidates: int = 100,
    ):
        self.records = records
        self.places = take(records, count)
        groups, self.captions = [], []
        for place in self.places:  # a row holds the picture's bytes as well
            row = records.row(place)
            groups.append(row["class_id"])
            self.captions.append([text.decode() for text in row["captions"]])
        self.groups = np.array(groups)
        counts = [len(captions) for captions in self.captions]
        self.owners = np.repeat(np.arange(len(counts)), counts)  # of captions
        self.lines = [c for captions in self.captions for c in captions]
        self.token_ids, self.lengths = vocabulary.encode(
            tf.constant(self.lines), words_num
        )
        if len(set(self.groups)) == 1:  # one class tells as much as none
            self.groups = np.arange(len(counts))
        self.candidates = min(candidates, 1 + self._fewest_others())
        # Encoders in training are scored often: traced once, not every time.
        traced = functools.partial(
            tf.function, reduce_retracing=True, autograph=False
        )
        self._images: dict[int, tf.data.Dataset] = {}
        self.text_features = traced(self._text_features)
        self.pooled_features = traced(_pooled_features)

    def _text_features(self, text_encoder, rows):
        return text_encoder(
            tf.gather(self.token_ids, rows), tf.gather(self.lengths, rows)
        )

    def _fewest_others(self) -> int:
        """Captions of other groups than a picture's, where they are fewest."""
        _, counts = np.unique(self.groups[self.owners], return_counts=True)
        others = int(counts.sum() - counts.max())
        if not others:
            raise UserError(
                "a split that is scored on must hold at least 2 pictures; "
                f"received {len(self.places)}; move pictures to it"
            )
        return others

    def first_captions(self) -> list[str]:
        """One caption of each picture."""
        return [captions[0] for captions in self.captions]

    def caption_rows(self, count: int) -> np.ndarray:
        """Which captions to draw from, int [count], places among all.

        The first caption of every picture, then the second of every picture,
        and so on; after the last one from the start again.
        """
        _, first = np.unique(self.owners, return_index=True)
        rank = np.arange(len(self.owners)) - first[self.owners]
        return np.resize(np.argsort(rank, kind="stable"), count)

    def r_precision(
        self,
        image_features: np.ndarray,
        sentences: np.ndarray,
        rows: np.ndarray,
    ) -> RPrecision:
        """R-precision of pictures of the captions `rows`.

        The others each picture chooses from depend on its caption alone, so
        that real and generated pictures of the same rows meet the same ones.

        Args:
          image_features: float32 [N, D].
          sentences: features of all captions, see `sentences`.
          rows: int [N], places of the true captions.
        """
        groups = self.groups[self.owners]
        return r_precision(
            image_features,
            sentences[rows],
            groups[rows],
            candidates=self.candidates,
            folds=min(FOLDS, len(rows)),
            seed=0,
            pool_features=sentences,
            pool_groups=groups,
        )

    def sentences(self, text_encoder: TextEncoder) -> np.ndarray:
        """Sentence features of every caption, float32 [captions, D]."""
        encode = functools.partial(self.text_features, text_encoder)
        return batched(encode, tf.range(len(self.owners)))["sentence_features"]

    def images(self, size: int) -> tf.data.Dataset:
        """The pictures' middles in batches [B, size, size, 3], in [-1, 1].

        As drawn ones, they are rounded to the 256 values that a PNG holds.
        """
        if size not in self._images:  # traced once, not every time
            self._images[size] = views.centre_views(
                self.records, (size,), BATCH, self.places
            ).map(lambda batch: as_stored(batch[f"images_{size}"]))
        return self._images[size]

    def trunk_features(
        self, image_encoder: ImageEncoder, size: int
    ) -> np.ndarray:
        """Pooled features of the pictures at a size, float32 [N, C]."""
        return np.concatenate(
            [
                self.pooled_features(image_encoder, batch)
                for batch in self.images(size)
            ]
        )

    def real_score(
        self,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        pooled: np.ndarray,
    ) -> RPrecision:
        """R-precision of the real pictures, each with each of its captions."""
        features = image_encoder.image_projection(pooled).numpy()
        return self.r_precision(
            features[self.owners],
            self.sentences(text_encoder),
            np.arange(len(self.owners)),
        )


def _pooled_features(image_encoder, images):
    features = image_encoder.backbone_features(images)
    return tf.cast(features["pooled"], tf.float32)


def features_of(image_encoder: ImageEncoder) -> Look:
    """Looks at pictures: image_features [B, D] and pooled [B, C], float32."""

    def look(images):
        features = image_encoder.backbone_features(images)
        return {
            "image_features": image_encoder.project(features)["image_features"],
            "pooled": tf.cast(features["pooled"], tf.float32),
        }

    return look


def one_caption_distances(
    sampler: Sampler, captions: Sequence[str], samples: int = 16
) -> list[PairwiseDistance]:
    """How much pictures of one caption differ, for each caption."""
    return [
        pairwise_distance(sampler.pictures([caption] * samples, range(samples)))
        for caption in captions
    ]


class GeneratedScores:
    """Scores generated pictures against held-out real ones, during training.

    Args:
      held_out: the real pictures and captions.
      sampler: draws.
      text_encoder: trained.
      image_encoder: trained.
      size: side of the generated pictures; real ones are reduced to it.
    """

    def __init__(
        self,
        *,
        held_out: HeldOut,
        sampler: Sampler,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        size: int,
    ):
        self.held_out = held_out
        self.sampler = sampler
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.size = size
        self._drawing = Drawing(sampler, features_of(image_encoder))

    def forget_encoded(self) -> None:
        """Drops what the encoders gave; they have been trained since."""
        for name in ("_sentences", "_real_statistics"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def _sentences(self) -> np.ndarray:
        return self.held_out.sentences(self.text_encoder)

    @functools.cached_property
    def _real_statistics(self) -> Statistics:
        pooled = self.held_out.trunk_features(self.image_encoder, self.size)
        return statistics(pooled)

    def __call__(self) -> dict[str, float]:
        """R-precision, Frechet distance and diversity, as pictures are now.

        Each has its N beside it.

        One picture is drawn for each held-out picture's first caption, and 16
        for the very first.
        """
        captions = self.held_out.first_captions()
        found = {"image_features": [], "pooled": [], "images": []}
        for batch in self._drawing.batches(captions, range(len(captions))):
            if BATCH * len(found["images"]) >= DIVERSITY_PICTURES:
                batch["images"] = batch["images"][:0]
            for name, values in found.items():
                values.append(batch[name])
        found = {name: np.concatenate(parts) for name, parts in found.items()}
        rows = self.held_out.caption_rows(len(captions))
        precision = self.held_out.r_precision(
            found["image_features"], self._sentences, rows
        )
        distance = frechet_distance(
            statistics(found["pooled"]), self._real_statistics
        )
        (same,) = one_caption_distances(self.sampler, captions[:1])
        images = to_uint8(found["images"][:DIVERSITY_PICTURES]).numpy()
        different = pairwise_distance(images)
        values = {
            "r_precision": Value(precision.mean, precision.n, precision.std),
            "frechet": Value(distance, len(captions)),
            "diversity_one_caption": Value(same.mean, same.n),
            "diversity_captions": Value(different.mean, different.n),
        }
        return {
            part: number
            for name, value in values.items()
            for part, number in value.numbers(name).items()
        }
