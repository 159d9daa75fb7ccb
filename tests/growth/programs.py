"""What is timed, and at which sizes."""

import io
import math
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from attngan_tf import losses
from attngan_tf.config import Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.input_pipeline import TrainingData
from attngan_tf.data.records import CaptionedImages, Example
from attngan_tf.data.vocabulary import END, VOCABULARY_FILE, Vocabulary
from attngan_tf.models import build
from attngan_tf.text_to_image import TextToImage
from attngan_tf.training import assembly, damsm_trainer, gan_trainer, loop

Call = Callable[[], object]
WORDS, VOCABULARY = 18, 5450  # T and the number of words of CUB
REGIONS, FEATURES = 17 * 17, 256  # N and D
SIDE = 24  # of a data set's pictures, in pixels


class Axis(NamedTuple):
    """A size that grows.

    Attributes:
      title: what is measured, and at which other sizes.
      size: what grows.
      values: its values.
      make: makes a call of one value, with a folder for files.
      once: whether the first call is all there is to measure.
    """

    title: str
    size: str
    values: tuple[int, ...]
    make: Callable[[int, pathlib.Path], Call]
    once: bool = False


def small_config(**fields) -> Config:
    """CUB's settings at an eighth of the discriminators' channels.

    Without Inception-v3, whose time is the same for every picture.
    """
    fields = {"gf": 8, "df": 8, **fields}
    return Config(
        dataset="demo",
        image_encoder="small_cnn",
        image_encoder_size=64,
        **fields,
    )


def vocabulary(count: int) -> Vocabulary:
    """The words w1, w2, ..., with `<end>` so many."""
    return Vocabulary([END, *(f"w{i}" for i in range(1, count))])


def caption(words: int, first: int = 1) -> str:
    """So many words of `vocabulary`."""
    return " ".join(f"w{first + i}" for i in range(words))


def random_batch(config: Config, B: int, sizes: tuple[int, ...]) -> dict:
    """What a training step takes; captions of T words, T - 1, ..."""
    T = config.words_num
    lengths = tf.constant([T - i % (T // 2) for i in range(B)])
    found = {
        "token_ids": tf.ones([B, T], tf.int32)
        * tf.sequence_mask(lengths, T, tf.int32),
        "lengths": lengths,
        "class_id": tf.range(B, dtype=tf.int64),
    }
    shapes = {
        "z": (B, config.z_size),
        "eps": (B, config.condition_size),
        "dropout_draws": (B, T, config.embedding_size),
        **{f"images_{size}": (B, size, size, 3) for size in sizes},
    }
    draw = tf.random.Generator.from_seed(0)
    return found | {k: draw.uniform(shape) for k, shape in shapes.items()}


def gan_step(config: Config) -> Call:
    """A step of GAN training, on one batch again and again."""
    text_encoder = build.text_encoder(config, VOCABULARY)
    image_encoder = build.image_encoder(config, None)
    text_encoder.trainable = image_encoder.trainable = False
    step = gan_trainer.gan_step(config, text_encoder, image_encoder)
    batch = random_batch(config, config.batch_size, config.image_sizes)
    compiled = loop.compile_step(
        tf.distribute.get_strategy(), step, step.update_average
    )
    return lambda: float(compiled(batch)["generator/total"])


def gan_of_batch(value: int, folder: pathlib.Path) -> Call:
    """Of a batch of `value` pictures."""
    del folder
    return gan_step(small_config(batch_size=value))


def gan_of_side(value: int, folder: pathlib.Path) -> Call:
    """Of as many stages as a picture of this side takes from 64 on."""
    del folder
    stages = round(math.log2(value / 64)) + 1
    return gan_step(small_config(batch_size=4, num_stages=stages))


def generate(captions: list[str], words_num: int) -> Call:
    """Captions to pictures by CUB's generator, as an exported model does."""
    config = Config(dataset="demo", words_num_test=words_num)
    model = TextToImage(
        config=config,
        vocabulary=vocabulary(VOCABULARY),
        text_encoder=build.text_encoder(config, VOCABULARY, False),
        generator=build.generator(config, folded=True),
    )
    return lambda: model.generate(captions, batch_size=len(captions))


def generate_of_batch(value: int, folder: pathlib.Path) -> Call:
    """Of so many captions at once."""
    del folder
    return generate([caption(WORDS, 1 + i) for i in range(value)], WORDS)


def generate_of_words(value: int, folder: pathlib.Path) -> Call:
    """Of captions of so many words."""
    del folder
    return generate([caption(value, 1 + i) for i in range(4)], value)


def damsm_loss(B: int, T: int) -> Call:
    """The loss of B pairs (Eq. 14), and its gradient by all features."""
    draw = tf.random.Generator.from_seed(0)
    shapes = [(B, REGIONS, FEATURES), (B, FEATURES), (B, T, FEATURES)]
    features = [draw.normal(shape) for shape in (*shapes, (B, FEATURES))]
    lengths = tf.constant([T - i % (T // 2) for i in range(B)])
    options = assembly.damsm_options(small_config())

    @tf.function
    def loss_and_gradients(*features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            total = losses.damsm_loss(*features, lengths, **options).total
        return total, tape.gradient(total, features)

    return lambda: float(loss_and_gradients(*features)[0])


def damsm_of_batch(value: int, folder: pathlib.Path) -> Call:
    """Of so many pairs."""
    del folder
    return damsm_loss(value, WORDS)


def damsm_of_words(value: int, folder: pathlib.Path) -> Call:
    """Of captions of so many words."""
    del folder
    return damsm_loss(48, value)


def vocabulary_of(value: int, folder: pathlib.Path) -> Call:
    """Captions tokenized and an encoder step, from a file of words on."""
    words = folder / f"words_{value}"
    words.mkdir(exist_ok=True)
    lines = [END, *(f"w{i}" for i in range(1, value))]
    (words / VOCABULARY_FILE).write_text("".join(f"{x}\n" for x in lines))
    known = Vocabulary.load(str(words))
    config = small_config(damsm_batch_size=48)
    B, T = config.damsm_batch_size, config.words_num
    step = damsm_trainer.damsm_step(
        config,
        build.text_encoder(config, len(known)),
        build.image_encoder(config, None),
        steps_per_epoch=100,
    )
    batch = random_batch(config, B, (config.image_encoder_size,))
    captions = tf.constant([caption(T, 1 + i) for i in range(B)])
    compiled = loop.compile_step(tf.distribute.get_strategy(), step)

    def call():
        ids, lengths = known.encode(captions, T)
        return float(
            compiled({**batch, "token_ids": ids, "lengths": lengths})["total"]
        )

    return call


class TinyPictures(CaptionedImages, skip_registration=True):
    """So many pictures of one colour each, with two captions."""

    name = "tiny_pictures"

    def __init__(self, count: int, folder: pathlib.Path):
        self.count = count
        super().__init__(data_dir=str(folder / f"pictures_{count}"))

    def examples(self, report):
        del report
        return {"train": self._drawn(self.count), "test": self._drawn(2)}

    def _drawn(self, count):
        for i in range(count):
            colour = np.array([i % 256, i // 256 % 256, 128], np.uint8)
            png = io.BytesIO()
            Image.fromarray(np.tile(colour, (SIDE, SIDE, 1))).save(png, "png")
            captions = [caption(12, 1 + i % 5000), caption(9, 1 + i % 4000)]
            yield Example(f"{i:07d}", png.getvalue(), captions, i)


def prepare(value: int, folder: pathlib.Path) -> Call:
    """Writes a data set of so many pictures."""
    builder = TinyPictures(value, folder)
    return lambda: catalog.prepare(builder)


def pictures_of(value: int, folder: pathlib.Path) -> Call:
    """Batches of a prepared data set; pictures are decoded when needed.

    With the default --memory_mb they would stay in memory up to its limit.
    """
    builder = TinyPictures(value, folder)
    data = prepared_data.read_data(builder)
    batches = TrainingData(
        records=data.train,
        vocabulary=data.vocabulary,
        words_num=WORDS,
        image_sizes=(16,),
        batch_size=16,
        seed=0,
    )
    iterator = iter(batches.whole_batches())
    return lambda: next(iterator)


AXES = {
    "gan_batch": Axis(
        "GAN step, GF 8, DF 8, 256 x 256, small_cnn",
        "batch",
        (2, 4, 16, 32, 64),  # one pair has no mismatches
        gan_of_batch,
    ),
    "gan_side": Axis(
        "GAN step of 1 to 4 stages, GF 8, DF 8, batch 4, small_cnn",
        "side",
        (64, 128, 256, 512),
        gan_of_side,
    ),
    "generate_batch": Axis(
        "Generation at CUB's sizes",
        "batch",
        (1, 4, 16, 32, 64),
        generate_of_batch,
    ),
    "generate_words": Axis(
        "Generation at CUB's sizes, batch 4",
        "words",
        (5, 10, 20, 50),
        generate_of_words,
    ),
    "damsm_words": Axis(
        "DAMSM loss and gradient, batch 48, 17 x 17 regions, D 256",
        "words",
        (5, 10, 20, 50),
        damsm_of_words,
    ),
    "damsm_batch": Axis(
        "DAMSM loss and gradient, 18 words, 17 x 17 regions, D 256",
        "batch",
        (16, 64, 128, 256, 512),
        damsm_of_batch,
    ),
    "vocabulary": Axis(
        "Tokenizer and encoder step, batch 48, small_cnn",
        "words",
        (100, 1000, 10_000, 100_000),
        vocabulary_of,
    ),
    "prepare": Axis(
        f"Preparing a data set of {SIDE} x {SIDE} PNGs",
        "pictures",
        (1000, 10_000, 100_000),
        prepare,
        once=True,
    ),
    "pictures": Axis(
        "Batches of 16 of such a data set, --memory_mb=0",
        "pictures",
        (1000, 10_000, 100_000),
        pictures_of,
    ),
}
