"""Training of the GAN: what one step does, on one replica."""

from collections.abc import Collection

import keras
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.models.generator import Generator
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.training import augmentation, distribution
from attngan_tf.training.damsm_step import DamsmStep, EncoderLoss

REAL, GENERATED = 0, 1  # whose numbers of a batch's augmentation are taken


class GanStep:
    """One step of GAN training: every D, then G through the updated Ds.

    Args:
      generator: the generator.
      average: a second generator, whose weights follow the first's (EMA).
      discriminators: one for each size of pictures.
      text_encoder: fixed here.
      image_encoder: fixed here.
      encoder_step: trains both on each batch's real pictures before they are
        used; None: they stay as they are.
      generator_optimizer: of the generator.
      discriminator_optimizers: one for each discriminator.
      damsm_lambda: weight of the DAMSM loss (Eq. 3).
      damsm_ramp_steps: steps over which that weight rises from 0; 0: it does
        not.
      damsm_loss: gives it.
      damsm_sizes: sides of the pictures that it is of.
      loss_scale: "paper" or "released" (Eq. 4).
      mismatched_pairs: whether Ds also see real pictures with the caption of
        the batch's next picture (released code).
      augment: whether Ds see augmented pictures.
      ema_decay: decay of the average.
      ema_warmup: whether the decay starts smaller.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        average: Generator,
        discriminators: dict[int, keras.Model],
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        encoder_step: DamsmStep | None,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizers: dict[int, keras.optimizers.Optimizer],
        damsm_lambda: float,
        damsm_ramp_steps: int,
        damsm_loss: EncoderLoss,
        damsm_sizes: Collection[int],
        loss_scale: str,
        mismatched_pairs: bool,
        augment: bool,
        ema_decay: float,
        ema_warmup: bool,
    ):
        self.generator = generator
        self.average = average
        self.discriminators = discriminators
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.encoder_step = encoder_step
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizers = discriminator_optimizers
        self.damsm_lambda = damsm_lambda
        self.damsm_ramp_steps = damsm_ramp_steps
        self.damsm_loss = damsm_loss
        self.damsm_sizes = damsm_sizes
        self.loss_scale = loss_scale
        self.mismatched_pairs = mismatched_pairs
        self.augment = augment
        self.ema_decay = ema_decay
        self.ema_warmup = ema_warmup
        generator_optimizer.build(generator.trainable_variables)
        for size, optimizer in discriminator_optimizers.items():
            optimizer.build(discriminators[size].trainable_variables)

    def __call__(self, batch: dict) -> dict[str, tf.Tensor]:
        """Updates Ds and G on this replica's part of a batch.

        Args:
          batch: images_S for each size, token_ids, lengths, class_id, z, eps,
            the numbers `augmentation` draws from, and dropout_draws if the
            encoders are trained.

        Returns:
          The loss terms, divided by the number of replicas.
        """
        R = distribution.replicas()
        tuning = self._tune_encoders(batch)
        text = self.text_encoder(batch["token_ids"], batch["lengths"])
        with tf.GradientTape() as tape:
            fakes = self.generator(
                {**text, **{k: batch[k] for k in ("lengths", "z", "eps")}},
                training=True,
            )
            kl = losses.kl_loss(fakes["mu"], fakes["logvar"])
            scaled = self.generator_optimizer.scale_loss(kl / R)
        # Eq. 3 part by part: none needs what another holds for its gradient.
        # One pass back through G, whose BN has moved once, takes them all.
        total, terms = kl, {"generator/kl": kl}
        targets, upstream = [scaled], [tf.ones_like(scaled)]
        for size in sorted(self.discriminators, reverse=True):
            image = fakes[f"images_{size}"]
            with tf.control_dependencies(upstream):
                loss, gradient, new = self._judge(size, batch, image, text)
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
        return tuning | {name: value / R for name, value in terms.items()}

    def _tune_encoders(self, batch):
        """Trains the encoders, if they are; returns the terms of their loss."""
        if self.encoder_step is None:
            return {}
        terms = self.encoder_step(batch)
        return {f"encoders/{name}": value for name, value in terms.items()}

    def _judge(self, size, batch, image, text):
        """Updates a size's D, then gives G's losses of its generated images.

        What D and the DAMSM see of the images, `seen`, is computed once, and
        the gradients of their losses go back through it together.

        Returns:
          The weighted sum, its gradient for the images, the terms by name.
        """
        total, gradient, terms = 0.0, tf.zeros_like(image), {}
        for view in self._views(size):
            with tf.control_dependencies([gradient]):
                with tf.GradientTape() as tape:
                    tape.watch(image)
                    seen = self._seen(view, size, image, batch, GENERATED)
                if self.discriminators[size].reads == view:
                    real = batch[f"images_{size}"]
                    real = self._seen(view, size, real, batch, REAL)
                    terms |= self._update_discriminator(size, real, seen, text)
                loss, upstream, new = self._pass_back(
                    seen,
                    lambda x, v=view: self._losses(v, size, x, text, batch),
                )
                gradient += tape.gradient(
                    seen, image, output_gradients=upstream
                )
            total += loss
            terms |= new
        return total, gradient, terms

    def _views(self, size) -> list[str]:
        """What the losses of a size see: images, maps, or one after another.

        "maps" is a pass of the image encoder, which the DAMSM needs as well.
        """
        views = {self.discriminators[size].reads}
        if self.damsm_lambda and size in self.damsm_sizes:
            views.add("maps")
        return sorted(views)

    def _seen(self, view, size, images, batch, kind: int):
        """What the losses see of real (0) or generated (1) images.

        Returns:
          A dict: images; or the trunk's features and, if D reads them, the
          projected maps.
        """
        network = self.discriminators[size]
        if self.augment and network.reads == view:
            images = augmentation.augment(
                images, batch["augmentation"][:, kind]
            )
        if view == "images":
            return {"images": images}
        features, maps = self.image_encoder.features_and_maps(images)
        if network.reads == "maps":
            features["maps"] = network.project(images, maps)
        return features

    def _update_discriminator(self, size, real, fake, text):
        """Eq. 5 for one size, of what is seen; returns its terms."""
        network = self.discriminators[size]
        optimizer = self.discriminator_optimizers[size]
        sentence = text["sentence_features"]
        with tf.GradientTape() as tape:
            real_code, fake_code = network.features_of_batches(
                [real[network.reads], fake[network.reads]], training=True
            )
            terms = losses.discriminator_loss(
                network.unconditional_logits(real_code),
                network.conditional(real_code, sentence, training=True),
                network.unconditional_logits(fake_code),
                network.conditional(fake_code, sentence, training=True),
                *self._mismatched(network, real_code, sentence),
            )
            scaled = optimizer.scale_loss(terms.total / distribution.replicas())
        weights = network.trainable_variables
        distribution.apply_gradients(
            optimizer, tape.gradient(scaled, weights), weights
        )
        return _named(f"discriminator_{size}", terms)

    def _mismatched(self, network, code, sentence):
        """Logits of real pictures with the next one's sentence; their factor.

        The global batch's last picture has no next one and is left out, so
        that the last replica has one pair fewer.
        """
        if not self.mismatched_pairs:
            return None, 1.0
        R, rows = distribution.replicas(), tf.shape(sentence)[0]
        first = distribution.replica_id() * rows
        following = distribution.gather(sentence)[first + 1 :][:rows]
        pairs = tf.shape(following)[0]
        code = tf.nest.map_structure(lambda x: x[:pairs], code)
        logits = network.conditional(code, following, training=True)
        return logits, tf.cast(pairs * R / (rows * R - 1), tf.float32)

    def _pass_back(self, seen, loss):
        """A loss of what is seen, its scaled gradient for it, its terms."""
        with tf.GradientTape() as tape:
            tape.watch(seen)
            total, terms = loss(seen)
            share = total / distribution.replicas()
            scaled = self.generator_optimizer.scale_loss(share)
        gradient = tape.gradient(
            scaled, seen, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return total, gradient, terms

    def _losses(self, view, size, seen, text, batch):
        """G's losses of what one view shows: their sum, and terms by name."""
        total, terms = 0.0, {}
        if self.discriminators[size].reads == view:
            loss, new = self._stage_loss(size, seen, text)
            total, terms = total + loss, terms | new
        if view == "maps" and self.damsm_lambda and size in self.damsm_sizes:
            loss, new = self._damsm_loss(size, seen, text, batch)
            total, terms = total + loss, terms | new
        return total, terms

    def _stage_loss(self, size, seen, text):
        """Eq. 4 of one stage, and its terms by name."""
        network = self.discriminators[size]
        code = network.features(seen[network.reads], training=True)
        loss = losses.generator_loss(
            network.unconditional_logits(code),
            network.conditional(code, text["sentence_features"], training=True),
            scale=self.loss_scale,
        )
        return loss.total, _named(f"generator_{size}", loss)

    def _damsm_loss(self, size, features, text, batch):
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
        """Moves the average; called once a step, outside of replicas.

        Parameters follow by exponential decay; BN statistics are the live
        ones (released code).
        """
        step = tf.cast(self.generator_optimizer.iterations, tf.float32)
        decay = self.ema_decay
        if self.ema_warmup:
            decay = tf.minimum(decay, (1.0 + step) / (10.0 + step))
        _follow(
            self.average.trainable_variables,
            self.generator.trainable_variables,
            decay,
        )
        _follow(
            self.average.non_trainable_variables,
            self.generator.non_trainable_variables,
            0.0,
        )


def _named(prefix: str, terms) -> dict[str, tf.Tensor]:
    """The terms that there are, by names such as damsm/total."""
    return {
        f"{prefix}/{name}": value
        for name, value in terms._asdict().items()
        if value is not None
    }


def _follow(averages, weights, decay):
    """Average <- decay average + (1 - decay) weight, on every replica."""
    strategy = tf.distribute.get_strategy()

    def move(average, weight, decay):
        average.assign(decay * average + (1.0 - decay) * weight)

    for average, weight in zip(averages, weights, strict=True):
        strategy.extended.update(
            average.value, move, args=(weight.value, decay)
        )
