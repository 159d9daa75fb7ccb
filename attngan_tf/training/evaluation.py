"""Scores on held-out pictures and captions."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from attngan_tf.data import pipeline
from attngan_tf.data.pipeline import Records
from attngan_tf.data.text import Vocabulary
from attngan_tf.metrics.diversity import pairwise_distance
from attngan_tf.metrics.frechet import frechet_distance, statistics
from attngan_tf.metrics.r_precision import RPrecision, r_precision
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.sampling import Sampler, to_uint8

BATCH = 50


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
      candidates: captions each picture chooses from.
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
        rows = [records.row(place) for place in self.places]
        self.groups = np.array([row["class_id"] for row in rows])
        self.captions = [
            [caption.decode() for caption in row["captions"]] for row in rows
        ]
        counts = [len(captions) for captions in self.captions]
        self.owners = np.repeat(np.arange(len(rows)), counts)  # of captions
        every = [c for captions in self.captions for c in captions]
        self.token_ids, self.lengths = vocabulary.encode(
            tf.constant(every), words_num
        )
        self.candidates = candidates

    def first_captions(self) -> list[str]:
        """One caption of each picture."""
        return [captions[0] for captions in self.captions]

    def sentences(self, text_encoder: TextEncoder) -> np.ndarray:
        """Sentence features of every caption, float32 [captions, D]."""

        @tf.function(reduce_retracing=True)
        def encode(rows):
            return text_encoder(
                tf.gather(self.token_ids, rows), tf.gather(self.lengths, rows)
            )

        return batched(encode, tf.range(len(self.owners)))["sentence_features"]

    def images(self, size: int) -> tf.data.Dataset:
        """The pictures' middles in batches [B, size, size, 3], in [-1, 1]."""
        batches = pipeline.centre_views(
            self.records, (size,), BATCH, self.places
        )
        return batches.map(lambda batch: batch[f"images_{size}"])

    def trunk_features(
        self, image_encoder: ImageEncoder, size: int
    ) -> np.ndarray:
        """Pooled features of the pictures at a size, float32 [N, C]."""
        compute = tf.function(image_encoder.trunk_features)
        return np.concatenate(
            [
                tf.cast(compute(batch)["pooled"], tf.float32)
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
        return r_precision(
            features[self.owners],
            self.sentences(text_encoder),
            self.groups[self.owners],
            candidates=self.candidates,
            seed=0,
        )


class GeneratedScores:
    """Scores generated pictures against held-out real ones.

    Args:
      held_out: the real pictures and captions.
      text_encoder: trained.
      image_encoder: trained.
      size: side of the generated pictures; real ones are reduced to it.
    """

    def __init__(
        self,
        *,
        held_out: HeldOut,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        size: int,
    ):
        self.held_out = held_out
        self.image_encoder = image_encoder
        self._features = tf.function(self._encode)
        self._sentences = held_out.sentences(text_encoder)
        self._real = statistics(held_out.trunk_features(image_encoder, size))

    def _encode(self, images):
        features = self.image_encoder.trunk_features(images)
        found = self.image_encoder.project(features)
        return {
            "image_features": found["image_features"],
            "pooled": tf.cast(features["pooled"], tf.float32),
        }

    def __call__(self, sampler: Sampler) -> Mapping[str, float]:
        """R-precision, Frechet distance, diversity of a sampler's pictures.

        One picture is drawn for each held-out picture's first caption, and 16
        for the very first.
        """
        captions = self.held_out.first_captions()
        name = sampler.last_images
        images = sampler.outputs(captions, range(len(captions)), [name])[name]
        found = batched(self._features, images)
        owners = self.held_out.owners
        _, first = np.unique(owners, return_index=True)
        precision = r_precision(
            found["image_features"],
            self._sentences[first],
            self.held_out.groups,
            candidates=self.held_out.candidates,
            seed=0,
            pool_features=self._sentences,
            pool_groups=self.held_out.groups[owners],
        )
        same = pairwise_distance(sampler.pictures(captions[:1] * 16, range(16)))
        different = pairwise_distance(to_uint8(images[:100]).numpy())
        return {
            "r_precision": precision.mean,
            "r_precision_std": precision.std,
            "frechet": frechet_distance(
                statistics(found["pooled"]), self._real
            ),
            "diversity_one_caption": same.mean,
            "diversity_captions": different.mean,
            "images": len(images),
        }
