"""GAN training, set up from a configuration."""

import functools
import os
import time

import keras
import tensorflow as tf

from attngan_tf.cli.interruption import Interruption
from attngan_tf.config import Config
from attngan_tf.data.input_pipeline import TrainingData
from attngan_tf.data.prepared_data import Data
from attngan_tf.encoders import Encoders, trained_encoders
from attngan_tf.evaluation.evaluator import Evaluator
from attngan_tf.evaluation.held_out import evenly_spread
from attngan_tf.models import build
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint
from attngan_tf.runs.checkpoints import Checkpoints
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage
from attngan_tf.training import assembly, augmentation, initial_weights
from attngan_tf.training.damsm_step import DamsmStep
from attngan_tf.training.gan_step import GanStep
from attngan_tf.training.log import Log
from attngan_tf.training.loop import Loop
from attngan_tf.visualization import figures
from attngan_tf.visualization.attention import attention_figure

PREVIEWS = 16  # captions of the sample grids
METRICS_IN_TRAINING = ("r_precision", "fid", "diversity")
STATISTICS_BATCHES = 40  # after which less than 2 % of older ones remain


def gan_step(
    config: Config, text_encoder: TextEncoder, image_encoder: ImageEncoder
) -> GanStep:
    """A step of GAN training, with a new generator, Ds and optimizers.

    The encoders are fixed unless `finetune_damsm` is set.
    """
    sizes = build.discriminator_sizes(config)
    generator = build.generator(config)
    average = build.generator(config, "average")
    average.set_weights(generator.get_weights())
    discriminators = build.discriminators(config, image_encoder)
    return GanStep(
        generator=generator,
        average=average,
        discriminators=discriminators,
        text_encoder=text_encoder,
        image_encoder=image_encoder,
        encoder_step=_encoder_step(config, text_encoder, image_encoder),
        generator_optimizer=assembly.adam(config, config.gan_learning_rate),
        discriminator_optimizers={
            size: assembly.adam(config, config.discriminator_learning_rate)
            for size in discriminators
        },
        damsm_lambda=config.damsm_lambda,
        damsm_ramp_steps=config.damsm_ramp_steps,
        damsm_loss=assembly.damsm_loss(config),
        damsm_sizes=sizes if config.damsm_stages == "all" else sizes[-1:],
        loss_scale=config.gan_loss_scale,
        mismatched_pairs=config.gan_mismatched_pairs,
        augment=config.discriminator_augmentation,
        ema_decay=config.ema_decay,
        ema_warmup=config.ema_warmup,
    )


def _encoder_step(
    config: Config, text_encoder: TextEncoder, image_encoder: ImageEncoder
) -> DamsmStep | None:
    """The encoders' step if `finetune_damsm` is set; otherwise fixes them."""
    if not config.finetune_damsm:
        text_encoder.trainable = image_encoder.trainable = False
        return None
    return assembly.encoder_step(
        config,
        text_encoder,
        image_encoder,
        0.1 * config.damsm_learning_rate,  # the rate at which its decay ends
        config.image_sizes[-1],
    )


def training_data(config: Config, data: Data) -> TrainingData:
    """Batches for `gan_step`."""
    numbers = augmentation.NUMBERS if config.discriminator_augmentation else 0
    dropout_size = config.embedding_size if config.finetune_damsm else 0
    return TrainingData(
        records=data.train,
        vocabulary=data.vocabulary,
        words_num=config.words_num,
        image_sizes=config.image_sizes,
        batch_size=config.batch_size,
        seed=config.seed,
        memory_mb=config.memory_mb,
        z_size=config.z_size,
        condition_size=config.condition_size,
        dropout_size=dropout_size,
        augmentation_draws=numbers,
    )


class GanTrainer:
    """GAN training, ready to run; arguments as for `DamsmTrainer`."""

    def __init__(
        self,
        config: Config,
        strategy: tf.distribute.Strategy,
        data: Data,
        interruption: Interruption,
    ):
        self.config = config
        self.data = data
        self.log = Log(config.workdir, "gan")
        keras.utils.set_random_seed(config.seed)  # initial weights
        with strategy.scope():
            self.text_encoder, self.image_encoder = trained_encoders(
                config, data.vocabulary
            )
            self.step = gan_step(config, self.text_encoder, self.image_encoder)
            if config.init_from and not checkpoint.exists(
                config.workdir, "gan"
            ):
                initial_weights.start_gan(config, self.step)
            self.checkpoints = Checkpoints(
                os.path.join(config.workdir, "gan"),
                self._checkpoint_items(),
                config.keep_checkpoints,
            )
        self.model = self._model()
        self.evaluator = self._evaluator()
        self.training_data = training_data(config, data)
        self.loop = self._loop(strategy, interruption)
        self._measured = 0  # step of the averaged generator's statistics

    def _loop(
        self, strategy: tf.distribute.Strategy, interruption: Interruption
    ) -> Loop:
        """The training loop, with previews, scores and checkpoints."""
        config = self.config
        return Loop(
            strategy=strategy,
            interruption=interruption,
            step=self.step,
            after_step=self.step.update_average,
            data=self.training_data,
            checkpoints=self.checkpoints,
            log=self.log,
            log_interval=config.log_interval,
            checkpoint_interval=config.checkpoint_interval,
            events=[
                (config.checkpoint_interval, self._measure_statistics),
                (config.sample_interval, self._preview),
                (config.evaluation_interval, self._score),
            ],
            rates=self._rates,
            jit_compile=config.jit_compile,
        )

    def _evaluator(self) -> Evaluator:
        """The evaluator; it uses few images, and does not score real ones."""
        config = self.config
        return Evaluator(
            model=self.model,
            encoders=Encoders(config, self.model, self.image_encoder),
            extractor=None,
            data=self.data,
            split="test",
            metrics=METRICS_IN_TRAINING,
            num_images=min(config.evaluation_images, len(self.data.test)),
            real_scores=False,
            one_caption_sets=1,
        )

    def _model(self) -> TextToImage:
        """Generates images with the averaged weights."""
        return TextToImage(
            config=self.config,
            vocabulary=self.data.vocabulary,
            text_encoder=self.text_encoder,
            generator=self.step.average,
        )

    @property
    def total_steps(self) -> int:
        """The last step of the training."""
        if self.config.gan_steps is not None:
            return self.config.gan_steps
        return self.training_data.steps(self.config.gan_epochs)

    def run(self) -> None:
        """Trains up to `total_steps`."""
        self.loop.run(self.total_steps)

    def _checkpoint_items(self) -> dict:
        step = self.step
        items = {
            "generator": step.generator,
            "average": step.average,
            "generator_optimizer": step.generator_optimizer,
        }
        if step.encoder_step is not None:
            items |= {
                "text_encoder": step.text_encoder,
                "image_encoder": step.image_encoder,
                "encoder_optimizer": step.encoder_step.optimizer,
            }
        for size, network in step.discriminators.items():
            items[f"discriminator_{size}"] = network
            optimizer = step.discriminator_optimizers[size]
            items[f"discriminator_optimizer_{size}"] = optimizer
        return items

    def _rates(self) -> dict[str, float]:
        optimizer = self.step.generator_optimizer
        return {"learning_rate": float(optimizer.learning_rate.numpy())}

    def _measure_statistics(self, step: int) -> None:
        """Measures the averaged generator's BN statistics, if configured.

        They become the moving averages over the first batches of the training
        data, whatever the step, so that a resumed run measures the same.
        """
        if self.config.ema_statistics == "copied" or step == self._measured:
            return
        batches = iter(self.loop.batches(0))
        for _ in range(STATISTICS_BATCHES):
            self._generate_for_statistics(next(batches))
        self._measured = step

    @functools.cached_property
    def _generate_for_statistics(self):
        """Generates a batch as in training, with averaged weights."""

        def generate(batch):
            text = self.text_encoder(batch["token_ids"], batch["lengths"])
            noise = {name: batch[name] for name in ("lengths", "z", "eps")}
            self.step.average(text | noise, training=True)

        strategy = self.loop.strategy
        return tf.function(
            lambda batch: strategy.run(generate, (batch,)), autograph=False
        )

    def _preview(self, step: int) -> None:
        """Writes a grid and an attention figure of fixed captions and noise."""
        self._measure_statistics(step)
        captions = self.evaluator.held_out.first_captions()
        chosen = evenly_spread(len(captions), PREVIEWS)
        captions = [captions[i] for i in chosen]
        seeds = range(len(captions))
        outputs = self.model.outputs(captions, seeds)
        images = to_uint8(outputs[self.model.last_images]).numpy()
        sheet = figures.grid(images, 4, captions)
        self.log.image("grid", step, sheet, caption=captions, seed=seeds)
        figure = attention_figure(self.model, outputs, 0)
        if figure is not None:
            first = {"caption": captions[0], "seed": seeds[0]}
            self.log.image("attention", step, figure, **first)

    def _score(self, step: int) -> None:
        """Scores images; the checkpoint with the lowest FID is the best."""
        start = time.monotonic()
        self._measure_statistics(step)
        self.model.step = step
        if self.config.finetune_damsm:
            self.evaluator.encoders_changed()
        rows = self.evaluator.score()
        scores = {k: v for row in rows for k, v in row.numbers().items()}
        numbers = {
            "epoch": self.evaluator.epoch,
            **scores,
            "seconds": time.monotonic() - start,
        }
        self.log.report(step, numbers, self.evaluator.conditions())
        self.checkpoints.offer(step, -scores["frechet"])
