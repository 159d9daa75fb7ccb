"""Pre-training of the encoders: what one step does, on one replica."""

import keras
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.training import distribution


@keras.saving.register_keras_serializable("attngan_tf")
class EpochDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate multiplied by `factor` after each epoch, down to a tenth."""

    def __init__(self, rate: float, factor: float, steps_per_epoch: float):
        self.rate = rate
        self.factor = factor
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step):
        epoch = tf.floor(tf.cast(step, tf.float32) / self.steps_per_epoch)
        return self.rate * tf.maximum(0.1, tf.pow(self.factor, epoch))

    def get_config(self):
        return {
            "rate": self.rate,
            "factor": self.factor,
            "steps_per_epoch": self.steps_per_epoch,
        }


class DamsmStep:
    """One step of encoder training (paper, 3.2).

    Args:
      text_encoder: the text encoder, trained.
      image_encoder: the image encoder; its projections are trained, its
        trunk if it is trainable.
      optimizer: updates both.
      text_clip: greatest norm of the text encoder's gradient.
      loss: keyword arguments of `losses.damsm_loss` (gammas and forms).
      same_class_mask: whether pairs of one class are no mismatches.
    """

    def __init__(
        self,
        *,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        optimizer: keras.optimizers.Optimizer,
        text_clip: float,
        loss: dict,
        same_class_mask: bool,
    ):
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.optimizer = optimizer
        self.text_clip = text_clip
        self.loss = loss
        self.same_class_mask = same_class_mask
        self.text_weights = text_encoder.trainable_variables
        self.image_weights = image_encoder.trainable_variables
        optimizer.build(self.text_weights + self.image_weights)

    def __call__(self, batch: dict) -> dict[str, tf.Tensor]:
        """Updates the encoders on this replica's part of a batch.

        Args:
          batch: token_ids, lengths, class_id, dropout_draws, and either
            images_S at the encoder's size, or the regions and pooled features
            of its trunk.

        Returns:
          The loss terms, divided by the number of replicas.
        """
        R = distribution.replicas()
        with tf.GradientTape() as tape:
            text = self.text_encoder(
                batch["token_ids"],
                batch["lengths"],
                dropout_draws=batch["dropout_draws"],
            )
            image = self.image_encoder.project(self._trunk_features(batch))
            terms = global_damsm_loss(
                image | text,
                batch,
                same_class_mask=self.same_class_mask,
                loss=self.loss,
            )
            scaled = self.optimizer.scale_loss(terms.total / R)
        weights = self.text_weights + self.image_weights
        # Dense, as Adam moves every embedding at every step, seen or not.
        gradients = [
            tf.convert_to_tensor(g) for g in tape.gradient(scaled, weights)
        ]
        gradients = distribution.all_reduce_sum(gradients)
        # Gradients of float16 are those of a loss scaled up, norms as well.
        scale = self.optimizer.scale_loss(1.0)
        count = len(self.text_weights)
        clipped, norm = tf.clip_by_global_norm(
            gradients[:count], self.text_clip * scale
        )
        gradients = [*clipped, *gradients[count:]]
        # Summed already, for clipping; `apply` sums once more.
        self.optimizer.apply([g / R for g in gradients], weights)
        reported = terms._asdict() | {"text_gradient_norm": norm / scale}
        return {name: value / R for name, value in reported.items()}

    def _trunk_features(self, batch: dict) -> dict[str, tf.Tensor]:
        if "regions" in batch:
            return {name: batch[name] for name in ("regions", "pooled")}
        return self.image_encoder.trunk_features(
            batch[f"images_{self.image_encoder.size}"], training=True
        )


def global_damsm_loss(
    features: dict, batch: dict, *, same_class_mask: bool, loss: dict
) -> losses.DamsmLoss:
    """Eq. 14 over the pairs of all replicas.

    Args:
      features: this replica's region_features, image_features, word_features
        and sentence_features.
      batch: this replica's lengths and class_id.
      same_class_mask: whether pairs of one class are no mismatches.
      loss: keyword arguments of `losses.damsm_loss`.

    Returns:
      The terms. Each replica computes the whole loss: divide by their
      number before the gradient.
    """
    names = (
        "region_features",
        "image_features",
        "word_features",
        "sentence_features",
    )
    gathered = {name: distribution.gather(features[name]) for name in names}
    class_ids = None
    if same_class_mask:
        class_ids = distribution.gather(batch["class_id"])
    return losses.damsm_loss(
        **gathered,
        lengths=distribution.gather(batch["lengths"]),
        class_ids=class_ids,
        **loss,
    )
