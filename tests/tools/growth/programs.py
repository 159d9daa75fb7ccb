"""What is measured, and at which sizes."""

import io
import math
import pathlib
from collections.abc import Callable, Iterator
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
WORDS, VOCABULARY = 18, 5450  # T and V of CUB
REGIONS, FEATURES = 17 * 17, 256  # N and D
SIDE = 24  # of a data set's images, in pixels


class Axis(NamedTuple):
    """A size that grows.

    Attributes:
      title: what is measured, and the other sizes.
      size: what grows.
      values: its values.
      make: makes a call from a value and a folder for files.
      once: whether only the first call is measured.
    """

    title: str
    size: str
    values: tuple[int, ...]
    make: Callable[[int, pathlib.Path], Call]
    once: bool = False


def small_config(**fields) -> Config:
    """CUB's settings with fewer channels, and without Inception-v3."""
    small = {"gf": 8, "df": 8, "image_encoder_size": 64}
    return Config(dataset="demo", image_encoder="small_cnn", **small | fields)


def vocabulary(count: int) -> list[str]:
    """`<end>`, w1, w2, ...: so many words."""
    return [END, *(f"w{i}" for i in range(1, count))]


def caption(words: int, first: int = 1) -> str:
    """So many words of `vocabulary`."""
    return " ".join(f"w{first + i}" for i in range(words))


def batch(config: Config, B: int, sizes: tuple[int, ...]) -> dict:
    """A training batch with captions of T words, T - 1, ..."""
    T = config.words_num
    lengths = tf.constant([T - i % (T // 2) for i in range(B)])
    shapes = {
        "z": (B, config.z_size),
        "eps": (B, config.condition_size),
        "dropout_draws": (B, T, config.embedding_size),
        **{f"images_{size}": (B, size, size, 3) for size in sizes},
    }
    rng = tf.random.Generator.from_seed(0)
    return {
        "token_ids": tf.sequence_mask(lengths, T, tf.int32),
        "lengths": lengths,
        "class_id": tf.range(B, dtype=tf.int64),
        **{name: rng.uniform(shape) for name, shape in shapes.items()},
    }


def gan_step(config: Config) -> Call:
    """A GAN step on the same batch."""
    text_encoder = build.text_encoder(config, VOCABULARY)
    image_encoder = build.image_encoder(config, None)
    text_encoder.trainable = image_encoder.trainable = False
    step = gan_trainer.gan_step(config, text_encoder, image_encoder)
    data = batch(config, config.batch_size, config.image_sizes)
    compiled = loop.compile_step(
        tf.distribute.get_strategy(), step, step.update_average
    )
    return lambda: float(compiled(data)["generator/total"])


def gan_batch(value: int, folder: pathlib.Path) -> Call:
    """A GAN step with `value` images."""
    return gan_step(small_config(batch_size=value))


def gan_side(value: int, folder: pathlib.Path) -> Call:
    """A GAN step with the stages from 64 pixels to `value`."""
    stages = round(math.log2(value / 64)) + 1
    return gan_step(small_config(batch_size=4, num_stages=stages))


def generate(count: int, words: int) -> Call:
    """Captions to images with CUB's generator, as an exported model does."""
    config = Config(dataset="demo", words_num_test=words)
    model = TextToImage(
        config=config,
        vocabulary=Vocabulary(vocabulary(VOCABULARY)),
        text_encoder=build.text_encoder(config, VOCABULARY, False),
        generator=build.generator(config, fused=True),
    )
    captions = [caption(words, 1 + i) for i in range(count)]
    return lambda: model.generate(captions, batch_size=count)


def damsm_loss(B: int, T: int) -> Call:
    """The DAMSM loss of B pairs, and its gradient for all features."""
    rng = tf.random.Generator.from_seed(0)
    shapes = [(B, REGIONS, FEATURES), (B, FEATURES), (B, T, FEATURES)]
    features = [rng.normal(shape) for shape in (*shapes, (B, FEATURES))]
    lengths = tf.constant([T - i % (T // 2) for i in range(B)])
    options = assembly.damsm_options(small_config())

    @tf.function
    def loss_and_gradients(*features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            total = losses.damsm_loss(*features, lengths, **options).total
        return total, tape.gradient(total, features)

    return lambda: float(loss_and_gradients(*features)[0])


def vocabulary_size(value: int, folder: pathlib.Path) -> Call:
    """Tokenization and an encoder step, from a vocabulary file."""
    words = folder / f"words_{value}"
    words.mkdir(exist_ok=True)
    lines = "".join(f"{word}\n" for word in vocabulary(value))
    (words / VOCABULARY_FILE).write_text(lines)
    known = Vocabulary.load(str(words))
    config = small_config(damsm_batch_size=48)
    B, T = config.damsm_batch_size, config.words_num
    step = damsm_trainer.damsm_step(
        config,
        build.text_encoder(config, len(known)),
        build.image_encoder(config, None),
        steps_per_epoch=100,
    )
    data = batch(config, B, (config.image_encoder_size,))
    captions = tf.constant([caption(T, 1 + i) for i in range(B)])
    compiled = loop.compile_step(tf.distribute.get_strategy(), step)

    def call():
        ids, lengths = known.encode(captions, T)
        text = {"token_ids": ids, "lengths": lengths}
        return float(compiled(data | text)["total"])

    return call


def tiny_images(count: int, folder: pathlib.Path) -> CaptionedImages:
    """A builder of so many images of one colour each, with two captions."""

    class TinyImages(CaptionedImages, skip_registration=True):
        name = "tiny_images"

        def examples(self, report):
            return {"train": _examples(count), "test": _examples(2)}

    return TinyImages(data_dir=str(folder / f"images_{count}"))


def _examples(count: int) -> Iterator[Example]:
    for i in range(count):
        colour = np.array([i % 256, i // 256 % 256, 128], np.uint8)
        png = io.BytesIO()
        Image.fromarray(np.tile(colour, (SIDE, SIDE, 1))).save(png, "png")
        captions = [caption(12, 1 + i % 5000), caption(9, 1 + i % 4000)]
        yield Example(f"{i:07d}", png.getvalue(), captions, i)


def prepare(value: int, folder: pathlib.Path) -> Call:
    """Writes a data set of `value` images."""
    builder = tiny_images(value, folder)
    return lambda: catalog.prepare(builder)


def batches(value: int, folder: pathlib.Path) -> Call:
    """Batches of a prepared data set; images are decoded when needed.

    With the default --memory_mb, they would be kept in memory up to its limit.
    """
    data = prepared_data.read_data(tiny_images(value, folder))
    found = TrainingData(
        records=data.train,
        vocabulary=data.vocabulary,
        words_num=WORDS,
        image_sizes=(16,),
        batch_size=16,
        seed=0,
    )
    iterator = iter(found.whole_batches())
    return lambda: next(iterator)


AXES = {
    "gan_batch": Axis(
        "GAN step, GF 8, DF 8, 256 x 256, small_cnn",
        "batch",
        (2, 4, 16, 32, 64),  # one pair has no mismatches
        gan_batch,
    ),
    "gan_side": Axis(
        "GAN step of 1 to 4 stages, GF 8, DF 8, batch 4, small_cnn",
        "side",
        (64, 128, 256, 512),
        gan_side,
    ),
    "generate_batch": Axis(
        "Generation at CUB's sizes",
        "batch",
        (1, 4, 16, 32, 64),
        lambda value, folder: generate(value, WORDS),
    ),
    "generate_words": Axis(
        "Generation at CUB's sizes, batch 4",
        "words",
        (5, 10, 20, 50),
        lambda value, folder: generate(4, value),
    ),
    "damsm_words": Axis(
        "DAMSM loss and gradient, batch 48, 17 x 17 regions, D 256",
        "words",
        (5, 10, 20, 50),
        lambda value, folder: damsm_loss(48, value),
    ),
    "damsm_batch": Axis(
        "DAMSM loss and gradient, 18 words, 17 x 17 regions, D 256",
        "batch",
        (16, 64, 128, 256, 512),
        lambda value, folder: damsm_loss(value, WORDS),
    ),
    "vocabulary": Axis(
        "Tokenizer and encoder step, batch 48, small_cnn",
        "words",
        (100, 1000, 10_000, 100_000),
        vocabulary_size,
    ),
    "prepare": Axis(
        f"Preparing a data set of {SIDE} x {SIDE} PNGs",
        "images",
        (1000, 10_000, 100_000),
        prepare,
        once=True,
    ),
    "images": Axis(
        "Batches of 16 of such a data set, --memory_mb=0",
        "images",
        (1000, 10_000, 100_000),
        batches,
    ),
}
