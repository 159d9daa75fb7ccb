"""Parts that the trainers of both stages use."""

import functools
import os
import shutil

import keras

from attngan_tf.adam import Adam
from attngan_tf.config import Config
from attngan_tf.data.prepared_data import Data
from attngan_tf.data.vocabulary import VOCABULARY_FILE
from attngan_tf.errors import UserError
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.io.disk import writing
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint
from attngan_tf.training.damsm_step import (
    DamsmStep,
    EncoderLoss,
    global_damsm_loss,
    global_joint_embedding_loss,
)


def damsm_options(config: Config) -> dict:
    """Keyword arguments of `losses.damsm_loss`."""
    return {
        "gamma1": config.damsm_gamma1,
        "gamma2": config.damsm_gamma2,
        "gamma3": config.damsm_gamma3,
        "word_score": config.word_score,
    }


def damsm_loss(config: Config) -> EncoderLoss:
    """The DAMSM loss with the configuration's constants."""
    return functools.partial(
        global_damsm_loss,
        same_class_mask=config.damsm_same_class_mask,
        loss=damsm_options(config),
    )


def encoder_step(
    config: Config,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
    rate,
    image_size: int,
) -> DamsmStep:
    """A step of encoder training, with a new optimizer.

    Args:
      config: the configuration.
      text_encoder: the text encoder to train.
      image_encoder: the image encoder; its trainable weights are trained.
      rate: learning rate, or its schedule.
      image_size: side of the images in a batch, in pixels.
    """
    joint = config.text_training == "joint_embedding"
    return DamsmStep(
        text_encoder=text_encoder,
        image_encoder=image_encoder,
        optimizer=adam(config, rate),
        text_clip=config.text_encoder_clip,
        loss=global_joint_embedding_loss if joint else damsm_loss(config),
        image_size=image_size,
    )


def adam(config: Config, rate) -> keras.optimizers.Optimizer:
    """Adam as in the released code, with loss scaling for float16."""
    optimizer = Adam(rate, beta_1=0.5, epsilon=1e-8)
    if config.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def held_out(config: Config, data: Data) -> HeldOut:
    """The images and captions of the test split that are used for scores."""
    return HeldOut(
        records=data.test,
        vocabulary=data.vocabulary,
        words_num=config.words_num_test,
        count=config.evaluation_images,
    )


ENCODER_FIELDS = (
    "feature_size",
    "embedding_size",
    "text_training",
    "image_encoder",
    "image_region_layer",
    "image_encoder_size",
    "image_encoder_resize",
    "inception_padding",
)


def adopt_encoders(config: Config) -> None:
    """Copies the best encoders of the workdir `config.encoders` to this one.

    Raises:
      UserError: there are none, or they do not fit this configuration.
    """
    source = Config.load(config.encoders)
    for name in ENCODER_FIELDS:
        theirs, ours = getattr(source, name), getattr(config, name)
        if theirs != ours:
            raise UserError(
                f"--{name} must be that of --encoders={config.encoders}, "
                f"{theirs!r}; received {ours!r}"
            )
    target = os.path.join(config.workdir, "damsm", "best")
    if os.path.exists(target):
        return
    checkpoint.find(config.encoders, "damsm", "best")
    vocabulary = os.path.join(config.encoders, VOCABULARY_FILE)
    with writing("the encoders", config.workdir):
        shutil.copy(vocabulary, config.workdir)
        shutil.rmtree(target + ".new", ignore_errors=True)  # of a killed run
        shutil.copytree(
            os.path.join(config.encoders, "damsm", "best"), target + ".new"
        )
        os.replace(target + ".new", target)
