"""Identifies the networks whose features are compared by scores."""

import hashlib
import os

import keras
import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.encoders import Encoders
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint


def weights_digest(*networks: keras.Model) -> str:
    """The SHA-256 of networks' weights, in their order."""
    total = hashlib.sha256()
    for network in networks:
        for weight in network.weights:
            total.update(weight.numpy().tobytes())
    return total.hexdigest()


def encoders_step(config: Config) -> int:
    """The step of a workdir's best encoders; 0 if they were converted."""
    path = checkpoint.find(config.workdir, "damsm", "best")
    return checkpoint.step_of(path)


def _training(config: Config, step: int) -> dict:
    return {
        "step": step,
        "training": config.text_training,
        "tuned_with_gan": config.finetune_damsm,
        "precision": config.precision,
    }


def encoders(
    config: Config,
    step: int,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
) -> dict:
    """What identifies encoders of a training step, as JSON values."""
    digest = weights_digest(text_encoder, image_encoder)
    return {**_training(config, step), "sha256": digest}


def backbone(config: Config, step: int) -> dict:
    """What identifies an image encoder's backbone, as JSON values."""
    found = {
        "network": config.image_encoder,
        "layer": "last average pool",
        "image_size": config.image_encoder_size,
        "resize": config.image_encoder_resize,
    }
    if config.image_encoder == "inception_v3":
        weights = os.path.basename(config.inception_weights)
        found["weights"] = weights if step else "the converted file"
        found["padding"] = config.inception_padding
    return {**found, **_training(config, step)}


def encoder_extractor(encoders: Encoders, image_size: int) -> FeatureExtractor:
    """Extracts pooled features [B, C] with a run's image encoder.

    Args:
      encoders: the run's.
      image_size: side of the images, which the encoder resizes.
    """
    config, _, image_encoder = encoders

    def network(images):
        shape = [None, image_size, image_size, 3]
        return image_encoder.backbone_features(tf.ensure_shape(images, shape))

    return FeatureExtractor(
        name=f"the image encoder of {config.workdir}",
        sha256=weights_digest(image_encoder.backbone),
        provenance=backbone(config, encoders_step(config)),
        size=image_size,
        network=network,
    )
