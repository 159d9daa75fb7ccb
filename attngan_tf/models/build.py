"""Builds networks from a configuration."""

import os
import pkgutil
from collections.abc import Iterable

import keras

from attngan_tf.config import DISCRIMINATORS, Config
from attngan_tf.errors import UserError
from attngan_tf.models.discriminator import Discriminator
from attngan_tf.models.generator import Generator
from attngan_tf.models.image_encoder import ImageEncoder, small_backbone
from attngan_tf.models.inception import inception_backbone
from attngan_tf.models.text_encoder import TextEncoder


def text_encoder(
    config: Config, vocabulary_size: int, use_cudnn: bool | str = "auto"
) -> TextEncoder:
    """The text encoder, built; always in float32, since it is small.

    It does not use cuDNN's LSTM if XLA compiles the steps, since XLA has no
    kernel for that operation (keras-team/keras, issue 18456).
    """
    network = TextEncoder(
        vocabulary_size=vocabulary_size,
        embedding_size=config.embedding_size,
        feature_size=config.feature_size,
        dropout=config.damsm_dropout,
        use_cudnn=False if config.jit_compile else use_cudnn,
        dtype="float32",
        name="text_encoder",
    )
    network.build()
    return network


def image_encoder(
    config: Config, weights: str | None, images: Iterable | None = None
) -> ImageEncoder:
    """The image encoder, built.

    Args:
      config: the configuration.
      weights: weights of Inception-v3: "imagenet", a path, or None for random
        ones; ignored for small_cnn.
      images: see `inception_backbone`.

    Raises:
      UserError: the weights cannot be loaded.
    """
    dtype = keras.DTypePolicy(config.precision)
    if config.image_encoder == "small_cnn":
        backbone = small_backbone(config.image_encoder_size, dtype)
    else:
        backbone = _inception(config, weights, dtype, images)
    network = ImageEncoder(
        backbone=backbone,
        size=config.image_encoder_size,
        feature_size=config.feature_size,
        resize=config.image_encoder_resize,
        dtype=dtype,
        name="image_encoder",
    )
    network.build()
    return network


def _inception(
    config: Config, weights: str | None, dtype, images: Iterable | None
) -> keras.Model:
    if weights not in (None, "imagenet") and not os.path.isfile(weights):
        raise UserError(
            "--inception_weights must be imagenet, none, or the path of a "
            f"file; found no file at {weights!r}"
        )
    try:
        return inception_backbone(
            config.image_encoder_size,
            config.image_region_layer,
            weights,
            dtype,
            images,
            count_padding=config.inception_padding == "torch",
        )
    except Exception as error:
        if weights is None:
            raise
        raise UserError(
            f"--inception_weights={weights} could not be loaded: {error}; "
            "name a Keras weights file of InceptionV3 without top, or none"
        ) from error


def generator(
    config: Config, name: str = "generator", fused: bool = False
) -> Generator:
    """The generator, built; see `Generator` for `fused`."""
    released_dcgan = config.generator == "attndcgan"
    network = Generator(
        base_size=config.base_size,
        num_stages=config.num_stages,
        gf=config.gf,
        condition_size=config.condition_size,
        z_size=config.z_size,
        word_size=config.feature_size,
        residual_blocks=0 if released_dcgan else config.residual_blocks,
        attention=config.attention,
        last_head_only=_last_only(config),
        fused=fused,
        dtype=config.precision,
        name=name,
    )
    network.build()
    return network


def discriminator_sizes(config: Config) -> tuple[int, ...]:
    """Sides, in pixels, of the images that have a discriminator."""
    return config.image_sizes[-1:] if _last_only(config) else config.image_sizes


def _last_only(config: Config) -> bool:
    """Whether only the last stage generates an image."""
    return (
        config.generator == "attndcgan" or config.discriminator_stages == "last"
    )


def discriminators(
    config: Config, image_encoder: ImageEncoder | None = None
) -> dict[int, keras.Model]:
    """A discriminator for each of `discriminator_sizes`, built.

    Args:
      config: the configuration.
      image_encoder: the network whose maps a projected discriminator reads;
        the paper's discriminators do not need it.
    """
    return {
        size: discriminator(config, size, image_encoder)
        for size in discriminator_sizes(config)
    }


def discriminator(
    config: Config, size: int, image_encoder: ImageEncoder | None = None
) -> keras.Model:
    """The discriminator of one image size, built.

    A projected discriminator is used in the last stage only; earlier stages
    have the paper's.
    """
    kind = pkgutil.resolve_name(DISCRIMINATORS[config.discriminator])
    options = {}
    if kind.reads == "maps":
        if size != config.image_sizes[-1]:
            kind = Discriminator
        else:
            options["map_shapes"] = image_encoder.map_shapes
            options["seed"] = config.seed
    network = kind(
        image_size=size,
        df=config.df,
        sentence_size=config.feature_size,
        unconditional=config.generator != "attndcgan",
        dtype=config.precision,
        name=f"discriminator_{size}",
        **options,
    )
    network.build()
    return network
