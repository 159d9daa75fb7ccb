"""What is timed of the project, program by program as of the peer."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import flags

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.training import assembly, damsm_step, gan_trainer, loop

ROOT = pathlib.Path(__file__).parents[2]
WORDS, VOCABULARY = 18, 5450
CAPTION = " ".join(f"waaa{letter}" for letter in "abcdefghijkl")
Call = Callable[[], object]


def released(precision: str, **fields) -> Config:
    """CUB by the released code's settings."""
    values = flags.FlagValues()
    command.define_config_flags(values)
    values(["", f"--flagfile={ROOT}/configs/cub_released.flags"])
    config = command.config_from_flags(values)
    return dataclasses.replace(config, precision=precision, **fields)


def batch(config: Config, batch_size: int, image_sizes: tuple) -> dict:
    """A batch of random pictures, captions of 18 words, 17, ..."""
    draw = np.random.default_rng(0)
    lengths = np.array([WORDS - i % 12 for i in range(batch_size)])
    ids = draw.integers(1, VOCABULARY, (batch_size, WORDS))
    real = np.arange(WORDS) < lengths[:, None]
    found = {
        "token_ids": np.where(real, ids, 0).astype(np.int32),
        "lengths": lengths.astype(np.int32),
        "class_id": np.arange(batch_size),
    }
    shapes = {"z": config.z_size, "eps": config.condition_size}
    shapes = {name: (batch_size, size) for name, size in shapes.items()}
    for name, shape in shapes.items():
        found[name] = draw.standard_normal(shape, np.float32)
    for size in image_sizes:
        pictures = draw.random((batch_size, size, size, 3), np.float32)
        found[f"images_{size}"] = 2 * pictures - 1
    return {name: tf.constant(value) for name, value in found.items()}


def generate(precision: str, batch_size: int, folder: pathlib.Path) -> Call:
    """From token ids and noise to three pictures, by the served networks."""
    del folder
    config = released(precision)
    text_encoder = build.text_encoder(config, VOCABULARY)
    generator = build.generator(config, folded=True)
    data = batch(config, batch_size, ())

    @tf.function
    def draw(data):
        text = text_encoder(data["token_ids"], data["lengths"])
        return generator(
            {**text, **{k: data[k] for k in ("lengths", "z", "eps")}}
        )

    return lambda: draw(data)["images_256"].numpy()


def train(precision: str, batch_size: int, folder: pathlib.Path) -> Call:
    """One step of GAN training with the released settings."""
    del folder
    config = released(precision, batch_size=batch_size)
    text_encoder = build.text_encoder(config, VOCABULARY)
    image_encoder = build.image_encoder(config, None)
    text_encoder.trainable = image_encoder.trainable = False
    step = gan_trainer.gan_step(config, text_encoder, image_encoder)
    data = batch(config, batch_size, config.image_sizes)
    compiled = loop.compile_step(
        tf.distribute.get_strategy(),
        step,
        step.update_average,
        config.jit_compile,
    )
    return lambda: float(compiled(data)["generator/total"])


def encoder_step(precision: str, batch_size: int) -> damsm_step.DamsmStep:
    """A step of encoder training at its start."""
    config = released(precision, damsm_batch_size=batch_size)
    return damsm_step.DamsmStep(
        text_encoder=build.text_encoder(config, VOCABULARY),
        image_encoder=build.image_encoder(config, None),
        optimizer=assembly.adam(config, config.damsm_learning_rate),
        text_clip=config.text_encoder_clip,
        loss=assembly.damsm_loss(config),
        image_size=config.image_encoder_size,
    )


def encoder_batch(config: Config, batch_size: int) -> dict:
    """What encoder training takes."""
    data = batch(config, batch_size, (config.image_encoder_size,))
    shape = (batch_size, WORDS, config.embedding_size)
    return data | {"dropout_draws": tf.random.uniform(shape, seed=0)}


def train_encoders(precision: str, batch_size: int, folder: pathlib.Path):
    """One step of encoder training with the released settings."""
    del folder
    step = encoder_step(precision, batch_size)
    data = encoder_batch(released(precision), batch_size)
    compiled = loop.compile_step(tf.distribute.get_strategy(), step)
    return lambda: float(compiled(data)["total"])


def train_encoders_kept(precision: str, batch_size: int, folder: pathlib.Path):
    """The same, of the fixed trunk's features, kept on disk."""
    del folder
    step = encoder_step(precision, batch_size)
    data = encoder_batch(released(precision), batch_size)
    pictures = data.pop(f"images_{step.image_encoder.size}")
    data |= step.image_encoder.trunk_features(pictures)
    compiled = loop.compile_step(tf.distribute.get_strategy(), step)
    return lambda: float(compiled(data)["total"])


def one_png(precision: str, batch_size: int, folder: pathlib.Path) -> Call:
    """One caption, as a string, to one PNG, through the exported graph."""
    del batch_size
    name = "float32" if precision == "float32" else "bf16"
    model = tf.saved_model.load(str(folder / name / "1"))
    serve = model.signatures["serving_default"]
    caption = tf.constant([CAPTION])
    return lambda: serve(captions=caption)["image_bytes"].numpy()[0]


PROGRAMS = {
    "generate": generate,
    "train": train,
    "damsm": train_encoders,
    "damsm_kept": train_encoders_kept,
    "one_png": one_png,
}
