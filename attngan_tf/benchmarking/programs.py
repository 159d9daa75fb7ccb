"""The programs that the benchmark times, with untrained networks.

Trained networks take the same time.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.data.input_pipeline import TrainingData
from attngan_tf.data.prepared_data import Data
from attngan_tf.models import build
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage
from attngan_tf.training import damsm_trainer, gan_trainer
from attngan_tf.training.loop import Step, compile_step, distributed_batches

BATCHES = 4  # distinct batches of the training steps


class Program(NamedTuple):
    """A program to time.

    Attributes:
      call: runs a step, or makes a batch, and waits until it is done.
      batch_size: number of images in a call, over all replicas.
      strategy: the devices.
      networks: the networks that run, by name.
      graph: returns the graph of a call on this worker's replicas; None
        without networks.
      pipeline: makes a batch for a step; None if steps take none.
    """

    call: Callable[[], object]
    batch_size: int
    strategy: tf.distribute.Strategy
    networks: dict[str, Sequence[keras.Model]]
    graph: Callable[[], tf.Graph] | None = None
    pipeline: Callable[[], object] | None = None


def make_batches(
    config: Config, strategy: tf.distribute.Strategy, data: Data
) -> Program:
    """Batches of the input pipeline of GAN training, and nothing else."""
    batches = gan_trainer.training_data(config, data)
    iterator = iter(distributed_batches(strategy, batches, 0))
    return Program(lambda: next(iterator), config.batch_size, strategy, {})


def train(
    config: Config, strategy: tf.distribute.Strategy, data: Data
) -> Program:
    """Steps of GAN training; see `_steps`."""
    with strategy.scope():
        step = gan_trainer.gan_step(config, *fresh_encoders(config, data))
    compiled = compile_step(
        strategy, step, step.update_average, config.jit_compile
    )
    networks = {
        "generator": [step.generator],
        "discriminators": list(step.discriminators.values()),
        "text_encoder": [step.text_encoder],
        "image_encoder": [step.image_encoder],
    }
    batches = gan_trainer.training_data(config, data)
    return _steps(compiled, "generator/total", strategy, batches, networks)


def train_damsm(
    config: Config, strategy: tf.distribute.Strategy, data: Data
) -> Program:
    """Steps of encoder training from images; see `_steps`.

    The backbone runs in every step, even if training caches its features
    (`damsm_cached_views`) and is faster.
    """
    config = dataclasses.replace(config, damsm_cached_views=0)
    batches = damsm_trainer.training_data(config, data)
    with strategy.scope():
        step = damsm_trainer.damsm_step(
            config, *fresh_encoders(config, data), batches.steps_per_epoch
        )
    compiled = compile_step(strategy, step, jit_compile=config.jit_compile)
    networks = {
        "text_encoder": [step.text_encoder],
        "image_encoder": [step.image_encoder],
    }
    return _steps(compiled, "total", strategy, batches, networks)


def _steps(
    compiled: Step,
    term: str,
    strategy: tf.distribute.Strategy,
    data: TrainingData,
    networks: dict[str, Sequence[keras.Model]],
) -> Program:
    """Training steps on batches that are in memory.

    The steps' images per second therefore do not depend on the input pipeline,
    and the ratio of the two rates shows which one waits for the other.

    The loss term named `term` is read to wait for the step.
    """
    iterator = iter(distributed_batches(strategy, data, 0))
    batches = list(itertools.islice(iterator, BATCHES))
    turns = itertools.cycle(batches)
    return Program(
        call=lambda: float(compiled(next(turns))[term]),
        batch_size=data.batch_size,
        strategy=strategy,
        networks=networks,
        graph=lambda: compiled.get_concrete_function(batches[0]).graph,
        pipeline=lambda: next(iterator),
    )


def generate(
    config: Config, strategy: tf.distribute.Strategy, data: Data
) -> Program:
    """Generation from captions as in an exported model, with fused BN.

    It runs on the first device of the strategy.
    """
    first = tf.distribute.OneDeviceStrategy(strategy.extended.worker_devices[0])
    with first.scope():
        model = fresh_model(config, data)
    B = config.batch_size
    rows = [data.test.row(i % len(data.test)) for i in range(B)]
    captions = tf.constant([row["captions"][0] for row in rows])
    seeds = tf.range(B, dtype=tf.int64)

    @tf.function(autograph=False)
    def images(captions, seeds):
        outputs = model.from_seeds(captions, seeds)
        return to_uint8(outputs[model.last_images])

    return Program(
        call=lambda: images(captions, seeds).numpy(),
        batch_size=B,
        strategy=first,
        networks={
            "generator": [model.generator],
            "text_encoder": [model.text_encoder],
        },
        graph=lambda: generation_graph(model, B),
    )


def generation_graph(model: TextToImage, batch_size: int) -> tf.Graph:
    """The graph of text encoder and generator for a fixed batch size.

    The batch size of the model's own graph is unknown, so that its operations
    cannot be counted.
    """
    B, T, generator = batch_size, model.words_num, model.generator

    @tf.function(autograph=False)
    def images(token_ids, lengths, z, eps):
        text = model.text_encoder(token_ids, lengths)
        inputs = {**text, "lengths": lengths, "z": z, "eps": eps}
        return generator(inputs)[model.last_images]

    return images.get_concrete_function(
        tf.TensorSpec([B, T], tf.int32),
        tf.TensorSpec([B], tf.int32),
        tf.TensorSpec([B, generator.z_size], tf.float32),
        tf.TensorSpec([B, generator.condition_size], tf.float32),
    ).graph


def fresh_encoders(
    config: Config, data: Data
) -> tuple[TextEncoder, ImageEncoder]:
    """Untrained encoders."""
    text_encoder = build.text_encoder(config, len(data.vocabulary))
    return text_encoder, build.image_encoder(config, None)


def fresh_model(config: Config, data: Data) -> TextToImage:
    """An untrained model with the same networks as an exported one."""
    size = len(data.vocabulary)
    return TextToImage(
        config=config,
        vocabulary=data.vocabulary,
        text_encoder=build.text_encoder(config, size, use_cudnn=False),
        generator=build.generator(config, fused=True),
    )
