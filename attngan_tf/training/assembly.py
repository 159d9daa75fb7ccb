"""What both stages of training are put together from."""

import functools
import os
import shutil
from typing import NamedTuple

import keras
import tensorflow_datasets as tfds

from attngan_tf.config import Config, UserError
from attngan_tf.data.text import VOCABULARY_FILE, Vocabulary
from attngan_tf.data.views import Records
from attngan_tf.disk import writing
from attngan_tf.models import build
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.training import checkpoint
from attngan_tf.training.adam import Adam
from attngan_tf.training.damsm import (
    DamsmStep,
    EncoderLoss,
    global_damsm_loss,
    global_joint_embedding_loss,
)
from attngan_tf.training.evaluation import HeldOut

# Share of the data's words that a workdir's vocabulary may lack: they are left
# out. Published vocabularies were counted on the captions of their time.
MOST_UNKNOWN = 0.02


class Data(NamedTuple):
    """A prepared data set, opened."""

    name: str
    train: Records
    test: Records
    vocabulary: Vocabulary


def read_data(builder: tfds.core.DatasetBuilder) -> Data:
    """Opens prepared data with its own vocabulary, of no workdir."""
    folder = os.fspath(builder.data_dir)
    train, test = (Records(builder, split) for split in ("train", "test"))
    return Data(folder, train, test, Vocabulary.load(folder))


def open_data(builder: tfds.core.DatasetBuilder, config: Config) -> Data:
    """Opens prepared data, and keeps its vocabulary in the workdir.

    A workdir that has one, such as a converted model's, keeps it: its order of
    the words is what the text encoder was trained with.

    Raises:
      UserError: the workdir's words are others.
    """
    data = read_data(builder)
    if not os.path.exists(os.path.join(config.workdir, VOCABULARY_FILE)):
        with writing("the vocabulary", config.workdir):
            data.vocabulary.save(config.workdir)
        return data
    known = Vocabulary.load(config.workdir)
    if known.words == data.vocabulary.words:
        return data
    unknown = set(data.vocabulary.words) - set(known.words)
    if len(unknown) > MOST_UNKNOWN * len(data.vocabulary):
        raise UserError(
            "the data's vocabulary must be the workdir's; received "
            f"{len(data.vocabulary)} words in {data.name}, of which "
            f"{len(unknown)} are not among the {len(known)} in "
            f"{config.workdir}; name another --workdir for other data"
        )
    if unknown:
        print(
            f"{len(unknown)} of the data's {len(data.vocabulary)} words are "
            "not in the workdir's vocabulary; they are left out"
        )
    return data._replace(vocabulary=known)


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
    """A step of encoder training, with its optimizer as it is before.

    Args:
      config: the configuration.
      text_encoder: trained.
      image_encoder: trained, as far as it is trainable.
      rate: learning rate, or its schedule.
      image_size: side of the batches' pictures.
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
    """The test split's pictures and captions that stages are scored on."""
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
      UserError: there are none, or they are of another kind.
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
        shutil.rmtree(target + ".new", ignore_errors=True)  # of a run cut off
        shutil.copytree(
            os.path.join(config.encoders, "damsm", "best"), target + ".new"
        )
        os.replace(target + ".new", target)


def trained_encoders(
    config: Config, vocabulary: Vocabulary, use_cudnn: bool | str = "auto"
) -> tuple[TextEncoder, ImageEncoder]:
    """The best encoders of a workdir.

    Raises:
      UserError: there are none, or the vocabulary does not fit them.
    """
    path = checkpoint.find(config.workdir, "damsm", "best")
    checkpoint.check_vocabulary(vocabulary, path, config.workdir)
    text_encoder = build.text_encoder(config, len(vocabulary), use_cudnn)
    image_encoder = build.image_encoder(config, None)
    checkpoint.restore_part(
        path, text_encoder=text_encoder, image_encoder=image_encoder
    )
    return text_encoder, image_encoder
