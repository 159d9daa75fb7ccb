"""Encoder training, set up from a configuration."""

import os
import time

import keras
import numpy as np
import tensorflow as tf

from attngan_tf.cli.interruption import Interruption
from attngan_tf.config import Config
from attngan_tf.data import views
from attngan_tf.data.input_pipeline import TrainingData
from attngan_tf.data.prepared_data import Data
from attngan_tf.evaluation import provenance
from attngan_tf.models import build
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint
from attngan_tf.runs.checkpoints import Checkpoints
from attngan_tf.runs.scores import Value
from attngan_tf.training import assembly, initial_weights
from attngan_tf.training.damsm_step import DamsmStep, EpochDecay
from attngan_tf.training.feature_cache import FeatureCache
from attngan_tf.training.log import Log
from attngan_tf.training.loop import Loop


def damsm_step(
    config: Config,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
    steps_per_epoch: float,
) -> DamsmStep:
    """A step of encoder training, with a new optimizer."""
    rate = EpochDecay(
        config.damsm_learning_rate,
        config.damsm_learning_rate_decay,
        steps_per_epoch,
    )
    return assembly.encoder_step(
        config, text_encoder, image_encoder, rate, config.image_encoder_size
    )


def training_data(config: Config, data: Data) -> TrainingData:
    """Batches for `damsm_step`: images, or indices into a `FeatureCache`."""
    return TrainingData(
        records=data.train,
        vocabulary=data.vocabulary,
        words_num=config.words_num,
        image_sizes=(config.image_encoder_size,),
        batch_size=config.damsm_batch_size,
        seed=config.seed,
        memory_mb=config.memory_mb,
        dropout_size=config.embedding_size,
        views=config.damsm_cached_views or None,
    )


class DamsmTrainer:
    """Encoder training, ready to run.

    Args:
      config: the configuration.
      strategy: the devices.
      data: the prepared data.
      interruption: raises when Ctrl-C or SIGTERM stops the training.
    """

    def __init__(
        self,
        config: Config,
        strategy: tf.distribute.Strategy,
        data: Data,
        interruption: Interruption,
    ):
        self.config = config
        self.data = data
        self.log = Log(config.workdir, "damsm")
        self.folder = os.path.join(config.workdir, "damsm")
        keras.utils.set_random_seed(config.seed)  # initial weights
        fresh = not checkpoint.exists(config.workdir, "damsm")
        with strategy.scope():
            self.text_encoder = build.text_encoder(config, len(data.vocabulary))
            random = fresh and not config.init_from
            self.image_encoder = _image_encoder(config, data, random)
            if fresh and config.init_from:
                initial_weights.start_encoders(
                    config,
                    data.vocabulary,
                    self.text_encoder,
                    self.image_encoder,
                )
            self.training_data = training_data(config, data)
            self.step = damsm_step(
                config,
                self.text_encoder,
                self.image_encoder,
                self.training_data.steps_per_epoch,
            )
            self.checkpoints = Checkpoints(
                self.folder, self._checkpoint_items(), config.keep_checkpoints
            )
        self.held_out = assembly.held_out(config, data)
        self._pooled: np.ndarray | None = None
        self.loop = self._loop(strategy, interruption)

    def _loop(
        self, strategy: tf.distribute.Strategy, interruption: Interruption
    ) -> Loop:
        """The training loop, which scores and saves after each epoch."""
        epoch = max(1, round(self.training_data.steps_per_epoch))
        return Loop(
            strategy=strategy,
            interruption=interruption,
            step=self.step,
            data=self.training_data,
            checkpoints=self.checkpoints,
            log=self.log,
            log_interval=min(self.config.log_interval, epoch),
            checkpoint_interval=epoch,
            events=[(epoch, self._score)],
            prepare_batches=self._prepare_batches,
            rates=self._rates,
            jit_compile=self.config.jit_compile,
        )

    def _checkpoint_items(self) -> dict:
        size = tf.Variable(len(self.data.vocabulary), trainable=False)
        return {
            "text_encoder": self.text_encoder,
            "image_encoder": self.image_encoder,
            "optimizer": self.step.optimizer,
            checkpoint.VOCABULARY_SIZE: size,
        }

    @property
    def total_steps(self) -> int:
        """The last step of the training."""
        if self.config.damsm_steps is not None:
            return self.config.damsm_steps
        return self.training_data.steps(self.config.damsm_epochs)

    def run(self) -> None:
        """Trains up to `total_steps`."""
        self.loop.run(self.total_steps)

    def _rates(self) -> dict[str, float]:
        rate = self.step.optimizer.learning_rate
        return {"learning_rate": float(rate)}

    def _prepare_batches(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        config = self.config
        if not config.damsm_cached_views:
            return batches
        cache = FeatureCache(
            folder=os.path.join(self.folder, "features"),
            image_encoder=self.image_encoder,
            records=self.data.train,
            identity={
                "data": self.data.name,
                "layer": config.image_region_layer,
                "size": config.image_encoder_size,
                "views": config.damsm_cached_views,
                "seed": config.seed,
                "weights": config.inception_weights,
            },
            views=config.damsm_cached_views,
            seed=config.seed,
        )
        print(
            f"features of {config.damsm_cached_views} views per image: "
            f"{cache.bytes / 1e6:.0f} MB in {cache.folder}"
        )
        return cache.attach(batches)

    def _score(self, step: int) -> None:
        """Scores the encoders on held-out images; saves the best ones."""
        config, start = self.config, time.monotonic()
        pooled = self._pooled
        if pooled is None:
            pooled = self.held_out.pooled_features(
                self.image_encoder, config.image_encoder_size
            )
        if config.image_encoder == "inception_v3":
            self._pooled = pooled  # the backbone is fixed
        score = self.held_out.real_score(
            self.text_encoder, self.image_encoder, pooled
        )
        value = Value(score.mean, score.n, score.std)
        numbers = {
            "epoch": self.training_data.epoch(step),
            **value.numbers("real_r_precision"),
            "candidates": self.held_out.candidates,
            "seconds": time.monotonic() - start,
        }
        self.log.report(step, numbers, self._conditions(step))
        self.checkpoints.offer(step, score.mean)

    def _conditions(self, step: int) -> dict:
        """What the score depends on, apart from its N, as JSON values."""
        config = self.config
        return {
            "encoders": provenance.encoders(
                config, step, self.text_encoder, self.image_encoder
            ),
            "reference": {
                "dataset": config.dataset,
                "split": "test",
                "images": len(self.held_out.indices),
                "of": len(self.held_out.records),
                "size": config.image_encoder_size,
            },
        }


def _image_encoder(config: Config, data: Data, fresh: bool) -> ImageEncoder:
    """The image encoder at the start of its training."""
    if config.image_encoder != "inception_v3" or not fresh:
        return build.image_encoder(config, None)
    if config.inception_weights != "none":
        return build.image_encoder(config, config.inception_weights)
    print(
        "warning: --inception_weights=none: Inception-v3 stays random; its BN "
        "statistics are measured on training images"
    )
    images = views.cached_views(
        data.train, config.image_encoder_size, 1, config.seed, 50
    )
    return build.image_encoder(config, None, images.take(8))
