"""Parts that the trainers of both stages use."""

import functools
import os
import shutil
from collections.abc import Iterable

import keras

from attngan_tf.adam import Adam
from attngan_tf.config import Config
from attngan_tf.data.prepared_data import Data
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.encoders import check_image_encoder
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


# Fields that determine the weights of the encoders.
ENCODER_SIZES = (
    "feature_size",
    "embedding_size",
    "image_encoder",
    "image_region_layer",
    "image_encoder_size",
    "image_encoder_resize",
    "inception_padding",
)


def check_equal_fields(
    config: Config, source: Config, flag: str, names: Iterable[str]
) -> None:
    """Raises UserError if a field differs from that of the run `flag` names."""
    for name in names:
        theirs, ours = getattr(source, name), getattr(config, name)
        if theirs != ours:
            raise UserError(
                f"--{name} must be that of --{flag}={getattr(config, flag)}, "
                f"{theirs!r}; received {ours!r}"
            )


def check_encoders(config: Config) -> None:
    """Checks the encoders that `config.encoders` names.

    Raises:
      UserError: there are none, or they do not fit this configuration.
    """
    try:
        source = Config.load(config.encoders)
        if not os.path.exists(checkpoint.best_encoders(config.workdir)):
            check_image_encoder(config.encoders)
            Vocabulary.load(config.encoders)
    except UserError as error:
        raise UserError(
            f"--encoders must name a workdir with trained encoders: {error}"
        ) from None
    fields = ("tokenizer", "text_training", *ENCODER_SIZES)
    check_equal_fields(config, source, "encoders", fields)


def adopt_encoders(config: Config) -> None:
    """Copies the best encoders of `config.encoders` to the new workdir."""
    target = checkpoint.best_encoders(config.workdir)
    if os.path.exists(target):
        return
    with writing("the encoders", config.workdir):
        shutil.rmtree(target + ".new", ignore_errors=True)  # of a killed run
        shutil.copytree(
            checkpoint.best_encoders(config.encoders), target + ".new"
        )
        os.replace(target + ".new", target)


def check_training_signal(config: Config, data: Data) -> None:
    """Checks that what is trained has batches, a rate, and pairs to compare.

    Raises:
      UserError: a stage would train nothing.
    """
    trains_encoders = config.stage != "gan" and not config.encoders
    trains_gan = config.stage != "damsm"
    if trains_encoders:
        _check_batches("damsm", "damsm_batch_size", config, data)
        _check_positive(config, "damsm_learning_rate")
    if trains_gan:
        _check_batches("gan", "batch_size", config, data)
        _check_positive(
            config, "gan_learning_rate", "discriminator_learning_rate"
        )
    if trains_encoders or (trains_gan and config.damsm_lambda > 0):
        _check_positive(config, "damsm_gamma3")
        _check_classes(config, data)


def _check_batches(stage: str, size: str, config: Config, data: Data) -> None:
    """Raises UserError if the epochs of a stage do not make one batch."""
    epochs, images = getattr(config, f"{stage}_epochs"), len(data.train)
    if getattr(config, f"{stage}_steps") is not None or not epochs:
        return
    if epochs * images < getattr(config, size):
        raise UserError(
            f"--{stage}_epochs must make at least one batch; received "
            f"{epochs} times {images} training images, fewer than "
            f"--{size}={getattr(config, size)}; use smaller batches, or set "
            f"--{stage}_steps"
        )


def _check_positive(config: Config, *names: str) -> None:
    for name in names:
        if not getattr(config, name):
            raise UserError(
                f"--{name} must be above 0 in training, or nothing is learned; "
                "received 0"
            )


def _check_classes(config: Config, data: Data) -> None:
    """Raises UserError if the loss compares classes, and there is one only."""
    joint = config.text_training == "joint_embedding"
    if not (joint or config.damsm_same_class_mask):
        return
    if len(set(data.train.class_ids().tolist())) < 2:
        flag = (
            "--text_training must be damsm"
            if joint
            else "--damsm_same_class_mask must be off"
        )
        raise UserError(
            f"{flag} for images of a single class, whose pairs would never be "
            f"compared; all training images of {data.name} have one class"
        )
