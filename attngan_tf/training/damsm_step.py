"""One step of pre-training the encoders, on one replica."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.training import distribution

# Takes the features and the batch of this replica; returns the terms of the
# loss over the pairs of all replicas, one of them `total`. Since each replica
# computes this whole loss, it must be divided by the number of replicas before
# the gradient is taken.
EncoderLoss = Callable[
    [dict, dict], losses.DamsmLoss | losses.JointEmbeddingLoss
]


@keras.saving.register_keras_serializable("attngan_tf")
class EpochDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate times `factor` after each epoch, down to a tenth."""

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


@dataclasses.dataclass(kw_only=True, eq=False)
class DamsmStep:
    """One step of encoder training (paper, 3.2)."""

    text_encoder: TextEncoder
    # Its projections are trained, and its backbone if that is trainable.
    image_encoder: ImageEncoder
    # Updates both encoders.
    optimizer: keras.optimizers.Optimizer
    # Maximum norm of the text encoder's gradient.
    text_clip: float
    loss: EncoderLoss
    # Side of the images in a batch, in pixels.
    image_size: int

    def __post_init__(self):
        self.text_weights = self.text_encoder.trainable_variables
        self.image_weights = self.image_encoder.trainable_variables
        self.optimizer.build(self.text_weights + self.image_weights)

    def __call__(self, batch: dict) -> dict[str, tf.Tensor]:
        """Updates the encoders on this replica's part of a batch.

        Args:
          batch: token_ids int32 [B, T], lengths int32 [B], class_id int [B],
            dropout_draws float32 [B, T, embedding_size] in [0, 1), and either
            images_S float32 [B, S, S, 3] in [-1, 1], or the image encoder's
            backbone features: regions [B, N, C] and pooled [B, C'].

        Returns:
          The loss terms and the norm of the text encoder's gradient before
          clipping, divided by the number of replicas.
        """
        R = distribution.replicas()
        with tf.GradientTape() as tape:
            text = self.text_encoder(
                batch["token_ids"],
                batch["lengths"],
                dropout_draws=batch["dropout_draws"],
            )
            image = self.image_encoder.project(self._backbone_features(batch))
            terms = self.loss(image | text, batch)
            scaled = self.optimizer.scale_loss(terms.total / R)
        weights = self.text_weights + self.image_weights
        # Dense, since Adam updates every embedding at every step, whether or
        # not its word is in the batch. The joint embedding does not use the
        # projection of the regions, whose gradient is None.
        gradients = [
            tf.zeros_like(w) if g is None else tf.convert_to_tensor(g)
            for w, g in zip(
                weights, tape.gradient(scaled, weights), strict=True
            )
        ]
        gradients, norm = self._clip(distribution.all_reduce_sum(gradients))
        # Divided, since `apply` sums the gradients over the replicas again.
        self.optimizer.apply([g / R for g in gradients], weights)
        reported = terms._asdict() | {"text_gradient_norm": norm}
        return {name: value / R for name, value in reported.items()}

    def _clip(self, gradients: list) -> tuple[list, tf.Tensor]:
        """Clips the text encoder's gradients; also returns the norm before."""
        # In float16 the loss is scaled up, and so is the gradient's norm.
        scale = self.optimizer.scale_loss(1.0)
        count = len(self.text_weights)
        clipped, norm = tf.clip_by_global_norm(
            gradients[:count], self.text_clip * scale
        )
        return [*clipped, *gradients[count:]], norm / scale

    def _backbone_features(self, batch: dict) -> dict[str, tf.Tensor]:
        if "regions" in batch:
            return {name: batch[name] for name in ("regions", "pooled")}
        return self.image_encoder.backbone_features(
            batch[f"images_{self.image_size}"], training=True
        )


def global_damsm_loss(
    features: dict, batch: dict, *, same_class_mask: bool, loss: dict
) -> losses.DamsmLoss:
    """Eq. 14 over all replicas; an `EncoderLoss` if the options are bound.

    Args:
      features: this replica's region_features, image_features, word_features
        and sentence_features.
      batch: this replica's lengths and class_id.
      same_class_mask: whether pairs of the same class are not mismatched.
      loss: keyword arguments of `losses.damsm_loss`.
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


def global_joint_embedding_loss(
    features: dict, batch: dict
) -> losses.JointEmbeddingLoss:
    """The joint embedding's loss, as an `EncoderLoss`.

    Args:
      features: this replica's image_features and sentence_features.
      batch: this replica's class_id.
    """
    return losses.joint_embedding_loss(
        distribution.gather(features["image_features"]),
        distribution.gather(features["sentence_features"]),
        distribution.gather(batch["class_id"]),
    )
