"""Scores images, during training and for `evaluate`."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.data.prepared_data import Data
from attngan_tf.encoders import Encoders
from attngan_tf.evaluation import provenance
from attngan_tf.evaluation.batches import BATCH, as_stored, per_replica
from attngan_tf.evaluation.cache import cached
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.held_out import HeldOut, evenly_spread
from attngan_tf.evaluation.metrics import metric
from attngan_tf.evaluation.part_classifier import PartClassifier
from attngan_tf.evaluation.registry import METRICS
from attngan_tf.runs.scores import Row
from attngan_tf.text_to_image import TextToImage


class Evaluator:
    """Generates images once, and computes all metrics on them.

    Metrics (see `metrics.metric`) read the features of generated images. The
    features of real images and captions are properties of this class, computed
    once, when a metric needs them.

    Args:
      model: generates the images.
      encoders: the DAMSM whose features R-precision compares; usually the
        model's own.
      extractor: extracts the features of FID, KID, precision and recall, and
        the probabilities of the Inception score; None: the DAMSM's image
        encoder, whose pooled features are used.
      data: the prepared data set.
      dataset: its kind; None: that of the model.
      split: train or test, for the captions and the reference images.
      metrics: names in METRICS, in the order of the rows.
      num_images: images to generate; also the maximum number of real ones.
      seed: seed of the first image's noise; image n has `seed + n`.
      splits: parts of the Inception score.
      real_scores: whether real images are scored as well.
      one_caption_sets: number of captions whose images are compared with
        one another.
      strategy: its replicas share each batch of images.
      progress: wraps the iteration over batches, as tqdm does.
    """

    def __init__(
        self,
        *,
        model: TextToImage,
        encoders: Encoders,
        extractor: FeatureExtractor | None,
        data: Data,
        dataset: str | None = None,
        split: str,
        metrics: Sequence[str],
        num_images: int,
        seed: int = 0,
        splits: int = 10,
        real_scores: bool = True,
        one_caption_sets: int = 10,
        strategy: tf.distribute.Strategy | None = None,
        progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    ):
        self.model = model
        self.encoders = encoders
        self.data = data
        self.dataset = dataset or model.config.dataset
        self.split = split
        self.metrics = metrics
        self.num_images = num_images
        self.seed = seed
        self.splits = splits
        self.real_scores = real_scores
        self.one_caption_sets = one_caption_sets
        self.strategy = strategy or tf.distribute.get_strategy()
        self.progress = progress
        self.size = model.config.image_sizes[-1]
        self.own_extractor = extractor is None
        self._extractor = extractor
        self.held_out = self._held_out(split)
        self._metrics = [METRICS[name](self) for name in metrics]

    def score(self) -> list[Row]:
        """Scores the model with its current weights."""
        found = {x: [] for x in self._metrics}
        first, count = 0, self._images_needed
        for batch in self._batches(count) if count else ():
            for x, batches in found.items():
                if x.count > first:
                    batches.append(batch[x.needs][: x.count - first])
            first += len(batch[metric.IMAGES])
        return [
            row
            for x, batches in found.items()
            for row in x.rows(np.concatenate(batches) if batches else None)
        ]

    def encoders_changed(self) -> None:
        """Drops all cached features of encoders, after further training."""
        for name in (
            "extractor",
            "sentences",
            "real",
            "real_image_features",
            "encoders_provenance",
        ):
            self.__dict__.pop(name, None)

    # Generated images.

    @property
    def _images_needed(self) -> int:
        return max(x.count for x in self._metrics)

    def _batches(self, count: int) -> Iterator[dict[str, np.ndarray]]:
        """Images and the features that metrics need, in order."""
        rows = self.held_out.caption_rows(count)
        lines = [self.held_out.lines[i] for i in rows]
        seeds = np.arange(self.seed, self.seed + count)
        for first in self.progress(range(0, count, BATCH)):
            part = slice(first, first + BATCH)
            text = self.model.encode(tf.constant(lines[part]))
            inputs = {**text, "seeds": tf.constant(seeds[part], tf.int64)}
            yield per_replica(self.strategy, self._generate, inputs)

    @functools.cached_property
    def _generate(self) -> Callable:
        """Text features and seeds -> a batch; traced once for all steps."""
        features = self._features()

        def generate(inputs):
            outputs = self.model.from_features(inputs, inputs["seeds"])
            images = as_stored(outputs[self.model.last_images])
            return {metric.IMAGES: images, **features(images)}

        return tf.function(generate, reduce_retracing=True, autograph=False)

    def _features(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """A function of images that computes all features metrics need."""
        needs = {x.needs for x in self._metrics}
        functions = []
        if metric.IMAGE_FEATURES in needs or (
            self.own_extractor and metric.POOLED in needs
        ):
            functions.append(self._encoder_features)
        if not self.own_extractor and needs & {
            metric.POOLED,
            metric.PROBABILITIES,
        }:
            functions.append(self.extractor.features)
        if metric.PART_COLOURS in needs:
            functions.append(self.part_classifier.classify)
        # Both networks may return pooled features: the extractor's are used.
        return lambda images: dict(
            pair for function in functions for pair in function(images).items()
        )

    def _encoder_features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        encoder = self.encoders.image_encoder
        features = encoder.backbone_features(images)
        projected = encoder.project(features)["image_features"]
        return {
            metric.IMAGE_FEATURES: projected,
            metric.POOLED: tf.cast(features["pooled"], tf.float32),
        }

    def images_of_one_caption(self, samples: int) -> Iterator[np.ndarray]:
        """Images uint8 [samples, H, W, 3] of each of `one_caption_sets`."""
        captions = self.held_out.first_captions()
        for i in evenly_spread(len(captions), self.one_caption_sets):
            yield self.model.images([captions[i]] * samples, range(samples))

    # Real images and captions.

    def _held_out(self, split: str) -> HeldOut:
        encoder = self.encoders.caption_encoder
        return HeldOut(
            records=getattr(self.data, split),
            vocabulary=encoder.vocabulary,
            words_num=encoder.words_num,
            count=self.num_images,
        )

    @functools.cached_property
    def extractor(self) -> FeatureExtractor:
        """Extracts pooled features and probabilities."""
        if self._extractor:
            return self._extractor
        return provenance.encoder_extractor(self.encoders, self.size)

    def _real(self, held_out: HeldOut) -> Mapping[str, np.ndarray]:
        """The extractor's features of real images, cached with the data."""
        extractor = self.extractor

        def compute():
            extract = tf.function(
                lambda rows: extractor.features(rows["images"]),
                reduce_retracing=True,
                autograph=False,
            )
            found = [
                per_replica(self.strategy, extract, {"images": images})
                for images in held_out.images(self.size)
            ]
            return {
                name: np.concatenate([x[name] for x in found])
                for name in extractor.outputs
            }

        # Features of encoders in training change at each step.
        if self.own_extractor and self.encoders.config.finetune_damsm:
            return compute()
        records = held_out.records.digest(held_out.indices)
        state = extractor.provenance, extractor.size, self.size, records
        return cached(self.data.name, state, extractor.outputs, compute)

    @functools.cached_property
    def real(self) -> Mapping[str, np.ndarray]:
        """The extractor's features of the split's real images, [M, ...]."""
        return self._real(self.held_out)

    def beside_real(self, features: np.ndarray) -> list[np.ndarray]:
        """The sets of pooled features to compare with those of `real`.

        The first is that of the generated images. If real images are scored,
        the second is that of the other split's real images, whose score a
        perfect model would reach.
        """
        if not self.real_scores:
            return [features]
        return [features, self._other_real[metric.POOLED]]

    @functools.cached_property
    def _other_real(self) -> Mapping[str, np.ndarray]:
        other = "train" if self.split == "test" else "test"
        return self._real(self._held_out(other))

    @functools.cached_property
    def sentences(self) -> np.ndarray:
        """Sentence features of the split's captions, float32 [captions, D]."""
        return self.held_out.sentences(
            self.encoders.caption_encoder.text_encoder
        )

    @functools.cached_property
    def real_image_features(self) -> np.ndarray:
        """The DAMSM's features of the split's real images, float32 [M, D]."""
        encoder = self.encoders.image_encoder
        pooled = self.held_out.pooled_features(encoder, self.size)
        return encoder.image_projection(pooled).numpy()

    def real_images(self, count: int) -> np.ndarray:
        """The first real images, float32 [count or fewer, H, W, 3]."""
        batches = self.held_out.images(self.size).unbatch().take(count)
        return np.stack(list(batches.as_numpy_iterator()))

    @functools.cached_property
    def part_classifier(self) -> PartClassifier:
        """Classifies the colours of the demo data's birds."""
        return PartClassifier(self.data, self.size, self.strategy)

    # What the scores depend on.

    @property
    def epoch(self) -> float:
        """The number of epochs that the model was trained for."""
        config = self.model.config
        return self.model.step * config.batch_size / len(self.data.train)

    def warnings(self) -> list[str]:
        """Warnings about these scores, for their reader."""
        return [text for x in self._metrics if (text := x.warning())]

    @functools.cached_property
    def encoders_provenance(self) -> dict:
        """What identifies the evaluation encoders, as JSON values."""
        config, caption_encoder, image_encoder = self.encoders
        step = provenance.encoders_step(config)
        return provenance.encoders(
            config, step, caption_encoder.text_encoder, image_encoder
        )

    def conditions(self) -> dict:
        """What the scores depend on besides their N, as JSON values."""
        found = {"feature_extractor": self.extractor.provenance}
        if self.encoders.image_encoder is not None:
            found["encoders"] = self.encoders_provenance
        found |= {
            "reference": {
                "dataset": self.dataset,
                "split": self.split,
                "images": len(self.held_out.indices),
                "of": len(self.held_out.records),
                "size": self.size,
            },
            "weights": {"averaged": True, "step": self.model.step},
        }
        if count := self._images_needed:
            found["generated"] = {"images": count, "first_seed": self.seed}
        for x in self._metrics:
            found |= x.conditions()
        return found
