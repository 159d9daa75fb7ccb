"""The DAMSM's image encoder as a backend of scores."""

import hashlib
import os

import keras
import tensorflow as tf

from attngan_tf.backends.backend import Backend
from attngan_tf.config import Config
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.training import checkpoint


def weights_digest(network: keras.Model) -> str:
    """The SHA-256 of a network's weights, in their order."""
    total = hashlib.sha256()
    for weight in network.weights:
        total.update(weight.numpy().tobytes())
    return total.hexdigest()


def encoder_backend(
    config: Config, image_encoder: ImageEncoder, picture_size: int
) -> Backend:
    """The last average pool of a run's image encoder: pooled [B, C] alone.

    Args:
      config: the run's.
      image_encoder: the run's.
      picture_size: side of the pictures it is given, which it resizes.
    """
    path = checkpoint.find(config.workdir, "damsm", "best")
    step = path.rsplit("-", 1)[1]
    kind = config.image_encoder
    if kind == "small_cnn":
        kind += ", trained with the text encoder"
    elif step == "0":
        kind += " of the converted file"
    else:
        kind += f" of weights {os.path.basename(config.inception_weights)}"

    def network(images):
        shape = [None, picture_size, picture_size, 3]
        features = image_encoder.trunk_features(tf.ensure_shape(images, shape))
        return {"pooled": features["pooled"]}

    return Backend(
        name=f"{kind}, last average pool, seen at {config.image_encoder_size}; "
        f"encoders of step {step} ({config.text_training}"
        f"{', tuned with the GAN' * config.finetune_damsm}); "
        f"{config.precision}",
        sha256=weights_digest(image_encoder.trunk),
        size=picture_size,
        network=network,
    )
