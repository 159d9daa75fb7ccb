"""One step of GAN training, on one replica."""

import dataclasses
from collections.abc import Collection

import keras
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.models.generator import Generator
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.training import augmentation, distribution
from attngan_tf.training.damsm_step import DamsmStep, EncoderLoss

REAL, GENERATED = 0, 1  # index of the images' random numbers in a batch


@dataclasses.dataclass(kw_only=True, eq=False)
class GanStep:
    """One step of GAN training: updates every D, then G with the updated Ds."""

    generator: Generator
    # A second generator, whose weights are a moving average of the first's.
    average: Generator
    # The discriminator of each image size.
    discriminators: dict[int, keras.Model]
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizers: dict[int, keras.optimizers.Optimizer]
    # The encoders are not updated by the losses of the GAN.
    text_encoder: TextEncoder
    image_encoder: ImageEncoder
    # Trains the encoders on each batch's real images before they are used;
    # None: they stay fixed.
    encoder_step: DamsmStep | None
    # Weight of the DAMSM loss (Eq. 3).
    damsm_lambda: float
    # Steps over which that weight rises from 0; 0: it is constant.
    damsm_ramp_steps: int
    # The DAMSM loss (Eq. 14), and the image sizes that it is computed for.
    damsm_loss: EncoderLoss
    damsm_sizes: Collection[int]
    # "paper" or "released" (Eq. 4).
    loss_scale: str
    # Whether Ds also read real images with the caption of the batch's next
    # image (released code).
    mismatched_pairs: bool
    # Whether Ds read augmented images.
    augment: bool
    # Decay of the moving average, and whether it is smaller in the first steps.
    ema_decay: float
    ema_warmup: bool

    def __post_init__(self):
        self.generator_optimizer.build(self.generator.trainable_variables)
        for size, optimizer in self.discriminator_optimizers.items():
            optimizer.build(self.discriminators[size].trainable_variables)

    def __call__(self, batch: dict) -> dict[str, tf.Tensor]:
        """Updates Ds and G on this replica's part of a batch.

        Args:
          batch: images_S float32 [B, S, S, 3] in [-1, 1] for each size S,
            token_ids int32 [B, T], lengths int32 [B], class_id int [B], z
            [B, Z], eps [B, condition_size]; augmentation [B, 2, 4] in [0, 1)
            for real and generated images if Ds read augmented images, and
            dropout_draws [B, T, embedding_size] if the encoders are trained.

        Returns:
          The loss terms, divided by the number of replicas.
        """
        R = distribution.replicas()
        encoder_terms = self._train_encoders(batch)
        text = self.text_encoder(batch["token_ids"], batch["lengths"])
        inputs = text | {k: batch[k] for k in ("lengths", "z", "eps")}
        with tf.GradientTape() as tape:
            fakes = self.generator(inputs, training=True)
            kl = losses.kl_loss(fakes["mu"], fakes["logvar"])
            scaled = self.generator_optimizer.scale_loss(kl / R)
        # Eq. 3, one image size after another: the gradient of each part is
        # computed, and its memory freed, before the next. One backward pass
        # through G then uses all of these gradients.
        total, terms = kl, {"generator/kl": kl}
        targets, upstream = [scaled], [tf.ones_like(scaled)]
        for size in sorted(self.discriminators, reverse=True):
            image = fakes[f"images_{size}"]
            with tf.control_dependencies(upstream):
                loss, gradient, new = self._train_size(size, batch, image, text)
            total += loss
            terms |= new
            targets.append(image)
            upstream.append(gradient)
        weights = self.generator.trainable_variables
        distribution.apply_gradients(
            self.generator_optimizer,
            tape.gradient(targets, weights, output_gradients=upstream),
            weights,
        )
        terms["generator/total"] = total
        return encoder_terms | {k: value / R for k, value in terms.items()}

    def _train_encoders(self, batch):
        """Updates the encoders unless they are fixed; returns loss terms."""
        if self.encoder_step is None:
            return {}
        terms = self.encoder_step(batch)
        return {f"encoders/{name}": value for name, value in terms.items()}

    def _train_size(self, size, batch, image, text):
        """Updates the D of a size, then computes G's losses of its images.

        The inputs of D and of the DAMSM are computed from the generated images
        once, and one backward pass through them takes all losses' gradients.

        Returns:
          The weighted sum of the losses, its gradient with respect to the
          images, and the terms by name.
        """
        total, gradient, terms = 0.0, tf.zeros_like(image), {}
        for kind in self._input_kinds(size):
            with tf.control_dependencies([gradient]):
                with tf.GradientTape() as tape:
                    tape.watch(image)
                    fake = self._inputs(kind, size, image, batch, GENERATED)
                if self.discriminators[size].reads == kind:
                    real = batch[f"images_{size}"]
                    real = self._inputs(kind, size, real, batch, REAL)
                    terms |= self._update_discriminator(size, real, fake, text)
                loss, upstream, new = self._loss_and_gradient(
                    fake,
                    lambda x, k=kind: self._losses(k, size, x, text, batch),
                )
                gradient += tape.gradient(
                    fake, image, output_gradients=upstream
                )
            total += loss
            terms |= new
        return total, gradient, terms

    def _input_kinds(self, size) -> list[str]:
        """What the losses of a size read: "images", "maps", or both.

        "maps" are the features of one pass of the image encoder, which the
        DAMSM and a projected discriminator share.
        """
        kinds = {self.discriminators[size].reads}
        if self.damsm_lambda and size in self.damsm_sizes:
            kinds.add("maps")
        return sorted(kinds)

    def _inputs(self, kind, size, images, batch, source: int):
        """What the losses read of REAL or GENERATED images.

        Returns:
          A dict: images; or the features of the image encoder's backbone and,
          if D reads them, the projected maps.
        """
        network = self.discriminators[size]
        if self.augment and network.reads == kind:
            images = augmentation.augment(
                images, batch["augmentation"][:, source]
            )
        if kind == "images":
            return {"images": images}
        features, maps = self.image_encoder.features_and_maps(images)
        if network.reads == "maps":
            features["maps"] = network.project(images, maps)
        return features

    def _update_discriminator(self, size, real, fake, text):
        """Updates the D of a size by Eq. 5, and returns its loss terms."""
        network = self.discriminators[size]
        optimizer = self.discriminator_optimizers[size]
        sentence = text["sentence_features"]
        with tf.GradientTape() as tape:
            real_features, fake_features = network.features_of_batches(
                [real[network.reads], fake[network.reads]], training=True
            )
            terms = losses.discriminator_loss(
                network.unconditional_logits(real_features),
                network.conditional(real_features, sentence, training=True),
                network.unconditional_logits(fake_features),
                network.conditional(fake_features, sentence, training=True),
                *self._mismatched(network, real_features, sentence),
            )
            scaled = optimizer.scale_loss(terms.total / distribution.replicas())
        weights = network.trainable_variables
        distribution.apply_gradients(
            optimizer, tape.gradient(scaled, weights), weights
        )
        return _named(f"discriminator_{size}", terms)

    def _mismatched(self, network, features, sentence):
        """Logits of real images with the next image's sentence, and a factor.

        The last image of the global batch has no next one and is left out, so
        the last replica has one pair fewer. The factor of the loss term makes
        up for this (`losses.discriminator_loss`).
        """
        if not self.mismatched_pairs:
            return None, 1.0
        R, rows = distribution.replicas(), tf.shape(sentence)[0]
        first = distribution.replica_id() * rows
        following = distribution.gather(sentence)[first + 1 :][:rows]
        pairs = tf.shape(following)[0]
        features = tf.nest.map_structure(lambda x: x[:pairs], features)
        logits = network.conditional(features, following, training=True)
        return logits, tf.cast(pairs * R / (rows * R - 1), tf.float32)

    def _loss_and_gradient(self, inputs, loss):
        """A loss, its scaled gradient with respect to inputs, and its terms."""
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total, terms = loss(inputs)
            scaled = self.generator_optimizer.scale_loss(
                total / distribution.replicas()
            )
        gradient = tape.gradient(
            scaled, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return total, gradient, terms

    def _losses(self, kind, size, inputs, text, batch):
        """G's losses of one kind of inputs: their sum, and terms by name."""
        total, terms = 0.0, {}
        if self.discriminators[size].reads == kind:
            loss, new = self._stage_loss(size, inputs, text)
            total, terms = total + loss, terms | new
        if kind == "maps" and self.damsm_lambda and size in self.damsm_sizes:
            loss, new = self._weighted_damsm_loss(size, inputs, text, batch)
            total, terms = total + loss, terms | new
        return total, terms

    def _stage_loss(self, size, inputs, text):
        """Eq. 4 of one stage, and its terms by name."""
        network = self.discriminators[size]
        features = network.features(inputs[network.reads], training=True)
        loss = losses.generator_loss(
            network.unconditional_logits(features),
            network.conditional(
                features, text["sentence_features"], training=True
            ),
            scale=self.loss_scale,
        )
        return loss.total, _named(f"generator_{size}", loss)

    def _weighted_damsm_loss(self, size, features, text, batch):
        """Lambda L_DAMSM of Eq. 3, and Eq. 14's terms by name."""
        damsm = self.damsm_loss(
            self.image_encoder.project(features) | text, batch
        )
        last = size == max(self.discriminators)
        name = "damsm" if last else f"damsm_{size}"
        return self._damsm_weight() * damsm.total, _named(name, damsm)

    def _damsm_weight(self):
        """Lambda of Eq. 3 at this step."""
        if not self.damsm_ramp_steps:
            return self.damsm_lambda
        steps = tf.cast(self.generator_optimizer.iterations, tf.float32)
        fraction = tf.minimum(1.0, steps / self.damsm_ramp_steps)
        return self.damsm_lambda * fraction

    def update_average(self) -> None:
        """Updates the moving average, once per step and outside of replicas.

        Trainable weights are averaged with exponential decay; BN statistics are
        copied (released code).
        """
        step = tf.cast(self.generator_optimizer.iterations, tf.float32)
        decay = self.ema_decay
        if self.ema_warmup:
            decay = tf.minimum(decay, (1.0 + step) / (10.0 + step))
        _update_averages(
            self.average.trainable_variables,
            self.generator.trainable_variables,
            decay,
        )
        _update_averages(
            self.average.non_trainable_variables,
            self.generator.non_trainable_variables,
            0.0,
        )


def _named(prefix: str, terms) -> dict[str, tf.Tensor]:
    """The terms that are not None, by names such as damsm/total."""
    return {
        f"{prefix}/{name}": value
        for name, value in terms._asdict().items()
        if value is not None
    }


def _update_averages(averages, weights, decay):
    """Average <- decay average + (1 - decay) weight, on every replica."""
    strategy = tf.distribute.get_strategy()

    def update(average, weight, decay):
        average.assign(decay * average + (1.0 - decay) * weight)

    for average, weight in zip(averages, weights, strict=True):
        strategy.extended.update(
            average.value, update, args=(weight.value, decay)
        )
