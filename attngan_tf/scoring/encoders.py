"""The DAMSM's encoders in scores: which they are, and one as a backend."""

import hashlib
import os

import keras
import tensorflow as tf

from attngan_tf.backends.backend import Backend
from attngan_tf.config import Config
from attngan_tf.model import Encoders
from attngan_tf.training import checkpoint


def weights_digest(*networks: keras.Model) -> str:
    """The SHA-256 of networks' weights, in their order."""
    total = hashlib.sha256()
    for network in networks:
        for weight in network.weights:
            total.update(weight.numpy().tobytes())
    return total.hexdigest()


def encoders_text(judge: Encoders) -> str:
    """Which encoders they are, whatever folder they lie in: one line."""
    networks = judge.caption_encoder.text_encoder, judge.image_encoder
    digest = weights_digest(*networks)
    return f"text and image {_trained(judge.config)}; sha256 {digest}"


def _step(config: Config) -> int:
    """The step of a workdir's encoders; 0 if they were converted."""
    path = checkpoint.find(config.workdir, "damsm", "best")
    return checkpoint.step_of(path)


def _trained(config: Config) -> str:
    """How a workdir's encoders were trained, as far as names tell."""
    tuned = ", tuned with the GAN" * config.finetune_damsm
    return (
        f"encoders of step {_step(config)} ({config.text_training}{tuned}); "
        f"{config.precision}"
    )


def _network(config: Config) -> str:
    """The image encoder's network, and how it sees pictures."""
    kind = config.image_encoder
    if kind == "small_cnn":
        kind += ", trained with the text encoder"
    else:
        weights = f"weights {os.path.basename(config.inception_weights)}"
        weights = "the converted file" if _step(config) == 0 else weights
        kind += f" of {weights}, padding as in {config.inception_padding}"
    seen = f"seen at {config.image_encoder_size}"
    return f"{kind}, last average pool, {seen} ({config.image_encoder_resize})"


def encoder_backend(judge: Encoders, picture_size: int) -> Backend:
    """The last average pool of a run's image encoder: pooled [B, C] alone.

    Args:
      judge: the run's encoders.
      picture_size: side of the pictures it is given, which it resizes.
    """
    image_encoder = judge.image_encoder

    def network(images):
        shape = [None, picture_size, picture_size, 3]
        features = image_encoder.trunk_features(tf.ensure_shape(images, shape))
        return {"pooled": features["pooled"]}

    return Backend(
        name=f"{_network(judge.config)}; {_trained(judge.config)}",
        sha256=weights_digest(image_encoder.trunk),
        size=picture_size,
        network=network,
    )
