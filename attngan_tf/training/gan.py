"""Training of the GAN: what one step does, on one replica."""

from collections.abc import Collection

import keras
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.models.discriminator import Discriminator
from attngan_tf.models.generator import Generator
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.training import augmentation, distribution
from attngan_tf.training.damsm import DamsmStep, EncoderLoss


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
        discriminators: dict[int, Discriminator],
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        encoder_step: DamsmStep | None,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizers: dict[int, keras.optimizers.Optimizer],
        damsm_lambda: float,
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
            picture = fakes[f"images_{size}"]
            with tf.control_dependencies(upstream):
                terms |= self._update_discriminator(size, batch, picture, text)
                loss, gradient, new = self._judge(size, batch, picture, text)
            total += loss
            terms |= new
            targets.append(picture)
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

    def _update_discriminator(self, size, batch, fake, text):
        """Eq. 5 for one size; returns its terms."""
        network = self.discriminators[size]
        optimizer = self.discriminator_optimizers[size]
        sentence = text["sentence_features"]
        with tf.GradientTape() as tape:
            real = self._seen(batch[f"images_{size}"], batch, 0)
            real_code, fake_code = network.codes(
                [real, self._seen(fake, batch, 1)], training=True
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
        R, rows = distribution.replicas(), tf.shape(code)[0]
        first = distribution.replica_id() * rows
        following = distribution.gather(sentence)[first + 1 :][:rows]
        pairs = tf.shape(following)[0]
        logits = network.conditional(code[:pairs], following, training=True)
        return logits, tf.cast(pairs * R / (rows * R - 1), tf.float32)

    def _judge(self, size, batch, picture, text):
        """Eq. 4 of one picture, and the DAMSM's loss where it is asked for.

        Returns:
          The weighted sum, its gradient for the picture, the terms by name.
        """
        total, gradient, terms = self._pass_back(
            picture, lambda x: self._stage_loss(size, batch, x, text)
        )
        if self.damsm_lambda and size in self.damsm_sizes:
            with tf.control_dependencies([gradient]):
                damsm, more, new = self._pass_back(
                    picture, lambda x: self._damsm_loss(size, batch, x, text)
                )
            total, gradient = total + damsm, gradient + more
            terms |= new
        return total, gradient, terms

    def _pass_back(self, picture, loss):
        """A loss of a picture, its scaled gradient for it, and its terms."""
        with tf.GradientTape() as tape:
            tape.watch(picture)
            total, terms = loss(picture)
            share = total / distribution.replicas()
            scaled = self.generator_optimizer.scale_loss(share)
        return total, tape.gradient(scaled, picture), terms

    def _stage_loss(self, size, batch, picture, text):
        """Eq. 4 of one stage, and its terms by name."""
        network = self.discriminators[size]
        code = network.code(self._seen(picture, batch, 1), training=True)
        loss = losses.generator_loss(
            network.unconditional_logits(code),
            network.conditional(code, text["sentence_features"], training=True),
            scale=self.loss_scale,
        )
        return loss.total, _named(f"generator_{size}", loss)

    def _damsm_loss(self, size, batch, picture, text):
        """Lambda L_DAMSM of Eq. 3, and Eq. 14's terms by name."""
        damsm = self.damsm_loss(self.image_encoder(picture) | text, batch)
        last = size == max(self.discriminators)
        name = "damsm" if last else f"damsm_{size}"
        return self.damsm_lambda * damsm.total, _named(name, damsm)

    def _seen(self, images, batch, kind: int):
        """What a discriminator sees of real (0) or generated (1) pictures."""
        if not self.augment:
            return images
        return augmentation.augment(images, batch["augmentation"][:, kind])

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
