"""The project's programs: each makes a call from precision, B and folder."""

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.training import damsm_trainer, gan_trainer, loop
from tests.reference import files, networks
from tests.reference.pairing import released

WORDS, VOCABULARY = 18, 5450
CAPTION = " ".join(files.vocabulary(13)[1:])
Call = Callable[[], object]


def configuration(precision: str, **fields) -> Config:
    """CUB with the released code's settings."""
    precision = {"bf16": "mixed_bfloat16"}.get(precision, precision)
    return released("cub", networks.CUB, precision=precision, **fields)


def batch(config: Config, B: int, image_sizes: tuple) -> dict:
    """Random images, and captions of 18, 17, ... words."""
    rng = np.random.default_rng(0)
    lengths = np.array([WORDS - i % 12 for i in range(B)])
    ids = rng.integers(1, VOCABULARY, (B, WORDS))
    found = {
        "token_ids": np.where(np.arange(WORDS) < lengths[:, None], ids, 0),
        "lengths": lengths,
    }
    found = {name: value.astype(np.int32) for name, value in found.items()}
    found["class_id"] = np.arange(B)
    for name, size in (("z", config.z_size), ("eps", config.condition_size)):
        found[name] = rng.standard_normal((B, size), np.float32)
    for size in image_sizes:
        images = rng.random((B, size, size, 3), np.float32)
        found[f"images_{size}"] = 2 * images - 1
    shape = (B, WORDS, config.embedding_size)
    found["dropout_draws"] = rng.random(shape, np.float32)
    return {name: tf.constant(value) for name, value in found.items()}


def generate(precision: str, B: int, folder: pathlib.Path) -> Call:
    """From token ids and noise to three images, with the served networks."""
    config = configuration(precision)
    text_encoder = build.text_encoder(config, VOCABULARY)
    generator = build.generator(config, fused=True)
    data = batch(config, B, ())

    @tf.function
    def call(data):
        text = text_encoder(data["token_ids"], data["lengths"])
        return generator(text | {k: data[k] for k in ("lengths", "z", "eps")})

    return lambda: call(data)["images_256"].numpy()


def train(precision: str, B: int, folder: pathlib.Path) -> Call:
    """One GAN step."""
    config = configuration(precision, batch_size=B)
    text_encoder = build.text_encoder(config, VOCABULARY)
    image_encoder = build.image_encoder(config, None)
    text_encoder.trainable = image_encoder.trainable = False
    step = gan_trainer.gan_step(config, text_encoder, image_encoder)
    data = batch(config, B, config.image_sizes)
    compiled = loop.compile_step(
        tf.distribute.get_strategy(), step, step.update_average
    )
    return lambda: float(compiled(data)["generator/total"])


def damsm(
    precision: str, B: int, folder: pathlib.Path, cached: bool = False
) -> Call:
    """One encoder step, from images or from cached backbone features."""
    config = configuration(precision, damsm_batch_size=B)
    text_encoder = build.text_encoder(config, VOCABULARY)
    image_encoder = build.image_encoder(config, None)
    step = damsm_trainer.damsm_step(config, text_encoder, image_encoder, 100)
    data = batch(config, B, (image_encoder.size,))
    if cached:
        images = data.pop(f"images_{image_encoder.size}")
        data |= image_encoder.backbone_features(images)
    compiled = loop.compile_step(tf.distribute.get_strategy(), step)
    return lambda: float(compiled(data)["total"])


def damsm_cached(precision: str, B: int, folder: pathlib.Path) -> Call:
    """One encoder step from cached features."""
    return damsm(precision, B, folder, cached=True)


def one_png(precision: str, B: int, folder: pathlib.Path) -> Call:
    """One caption, as a string, to one PNG, with the exported graph."""
    model = tf.saved_model.load(str(folder / precision / "1"))
    serve = model.signatures["serving_default"]
    caption = tf.constant([CAPTION])
    return lambda: serve(captions=caption)["image_bytes"].numpy()[0]


PROGRAMS = {
    "generate": generate,
    "train": train,
    "damsm": damsm,
    "damsm_cached": damsm_cached,
    "one_png": one_png,
}
