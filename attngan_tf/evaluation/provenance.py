"""What scores depend on, in words: networks and pictures."""

import hashlib
import os

import keras

from attngan_tf.config import Config
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint
from attngan_tf.runs.reports import DIGEST, TUNED


def weights_digest(*networks: keras.Model) -> str:
    """The SHA-256 of networks' weights, in their order."""
    total = hashlib.sha256()
    for network in networks:
        for weight in network.weights:
            total.update(weight.numpy().tobytes())
    return total.hexdigest()


def with_digest(name: str, sha256: str) -> str:
    """Networks and the SHA-256 of their weights: one line."""
    return f"{name}{DIGEST}{sha256}"


def encoders_step(config: Config) -> int:
    """The step of a workdir's best encoders; 0 if they were converted."""
    path = checkpoint.find(config.workdir, "damsm", "best")
    return checkpoint.step_of(path)


def encoders_text(
    config: Config,
    step: int,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
) -> str:
    """Which encoders they are, whatever folder they lie in: one line."""
    digest = weights_digest(text_encoder, image_encoder)
    return with_digest(f"text and image {_trained(config, step)}", digest)


def trunk_name(config: Config, step: int) -> str:
    """The image encoder's network, and how it sees pictures.

    Args:
      config: of the encoders.
      step: that they were trained to; 0 if they were converted.
    """
    kind = config.image_encoder
    if kind == "small_cnn":
        kind += ", trained with the text encoder"
    else:
        weights = f"weights {os.path.basename(config.inception_weights)}"
        weights = "the converted file" if step == 0 else weights
        kind += f" of {weights}, padding as in {config.inception_padding}"
    seen = f"seen at {config.image_encoder_size}"
    pool = f"last average pool, {seen} ({config.image_encoder_resize})"
    return f"{kind}, {pool}; {_trained(config, step)}"


def _trained(config: Config, step: int) -> str:
    """How encoders were trained, as far as names tell."""
    tuned = f", {TUNED}" * config.finetune_damsm
    return (
        f"encoders of step {step} ({config.text_training}{tuned}); "
        f"{config.precision}"
    )


def encoder_conditions(
    config: Config,
    step: int,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
) -> dict[str, str]:
    """The texts of a score whose pictures the encoders look at.

    Arguments as of `encoders_text` and `trunk_name`.
    """
    digest = weights_digest(image_encoder.backbone)
    return {
        "backend": with_digest(trunk_name(config, step), digest),
        "encoders": encoders_text(config, step, text_encoder, image_encoder),
    }


def reference_text(
    held_out: HeldOut, dataset: str, split: str, size: int
) -> str:
    """Which real pictures a score compares with, and how they are seen."""
    return (
        f"{len(held_out.places)} of the {len(held_out.records)} pictures of "
        f"{dataset}'s {split} split, reduced to {size} x {size}"
    )


def drawn_text(count: int, size: int, first_seed: int) -> str:
    """Which pictures a score is of."""
    return f"{count} pictures of {size} x {size}, seeds from {first_seed}"


def average_text(step: int) -> str:
    """Which weights of the generator draw the pictures that are scored."""
    return f"averaged (EMA) ones of GAN step {step}"
