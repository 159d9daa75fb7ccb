"""What the benchmark times: the project's programs, on fresh networks.

Weights are as they are before training, which costs the same time.
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
from attngan_tf.sampling import CaptionEncoder, Sampler, to_uint8
from attngan_tf.training import damsm_trainer, gan_trainer
from attngan_tf.training.damsm_step import DamsmStep
from attngan_tf.training.gan_step import GanStep
from attngan_tf.training.loop import Step, compile_step, distributed_batches

BATCHES = 4  # that training steps take turns with


class Program(NamedTuple):
    """What is timed, and what is known of it.

    Attributes:
      call: takes a step, or makes a batch, and waits for it.
      batch_size: pictures of a call, over all replicas.
      strategy: where it runs.
      networks: those it runs, by name.
      graph: gives the graph of a call on this worker's replicas; None where
        there are no networks.
      pipeline: makes a batch for a step; None: steps take none.
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
    """The pipeline of GAN training, with nothing else to do."""
    batches = gan_trainer.training_data(config, data)
    iterator = iter(distributed_batches(strategy, batches, 0))
    return Program(lambda: next(iterator), config.batch_size, strategy, {})


def train(
    config: Config, strategy: tf.distribute.Strategy, data: Data
) -> Program:
    """Steps of GAN training; see `_steps`."""
    with strategy.scope():
        step = fresh_gan_step(config, len(data.vocabulary))
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
    """Steps of encoder training from pictures; see `_steps`.

    The trunk runs in every step, also where training has its features on disk
    (`damsm_cached_views`) and is faster.
    """
    config = dataclasses.replace(config, damsm_cached_views=0)
    batches = damsm_trainer.training_data(config, data)
    with strategy.scope():
        step = fresh_damsm_step(config, len(data.vocabulary), batches)
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
    """Training steps on batches that are in memory already.

    So their pictures a second do not depend on the pipeline's, and the ratio
    of the two tells which waits for the other.

    Args:
      compiled: the step.
      term: one of those it gives.
      strategy: where it runs.
      data: gives the batches.
      networks: see `Program`.
    """
    iterator = iter(distributed_batches(strategy, data, 0))
    batches = list(itertools.islice(iterator, BATCHES))
    turns = itertools.cycle(batches)
    return Program(
        call=lambda: float(compiled(next(turns))[term]),  # waits for it
        batch_size=data.batch_size,
        strategy=strategy,
        networks=networks,
        graph=lambda: compiled.get_concrete_function(batches[0]).graph,
        pipeline=lambda: next(iterator),
    )


def generate(
    config: Config, strategy: tf.distribute.Strategy, data: Data
) -> Program:
    """Captions to pixels, as an exported model draws them: with BN folded.

    On the first device of the strategy's.
    """
    first = tf.distribute.OneDeviceStrategy(strategy.extended.worker_devices[0])
    with first.scope():
        sampler = fresh_sampler(config, data)
    B = config.batch_size
    rows = [data.test.row(i % len(data.test)) for i in range(B)]
    captions = tf.constant([row["captions"][0] for row in rows])
    seeds = tf.range(B, dtype=tf.int64)

    @tf.function(autograph=False)
    def draw(captions, seeds):
        outputs = sampler.from_seeds(captions, seeds)
        return to_uint8(outputs[sampler.last_images])

    return Program(
        call=lambda: draw(captions, seeds).numpy(),
        batch_size=B,
        strategy=first,
        networks={
            "generator": [sampler.generator],
            "text_encoder": [sampler.text_encoder],
        },
        graph=lambda: drawing_graph(sampler, B),
    )


def drawing_graph(sampler: Sampler, batch_size: int) -> tf.Graph:
    """The networks that draw, for a known number of captions.

    A sampler's own graph takes any number: nothing in it can be counted.
    """
    B, T, generator = batch_size, sampler.words_num, sampler.generator

    @tf.function(autograph=False)
    def draw(token_ids, lengths, z, eps):
        text = sampler.text_encoder(token_ids, lengths)
        inputs = {**text, "lengths": lengths, "z": z, "eps": eps}
        return generator(inputs)[sampler.last_images]

    return draw.get_concrete_function(
        tf.TensorSpec([B, T], tf.int32),
        tf.TensorSpec([B], tf.int32),
        tf.TensorSpec([B, generator.z_size], tf.float32),
        tf.TensorSpec([B, generator.condition_size], tf.float32),
    ).graph


def fresh_gan_step(config: Config, vocabulary_size: int) -> GanStep:
    """A step of GAN training; the encoders are fresh, too."""
    text_encoder = build.text_encoder(config, vocabulary_size)
    image_encoder = build.image_encoder(config, None)
    return gan_trainer.gan_step(config, text_encoder, image_encoder)


def fresh_damsm_step(
    config: Config, vocabulary_size: int, data: TrainingData
) -> DamsmStep:
    """A step of encoder training on such batches."""
    return damsm_trainer.damsm_step(
        config,
        build.text_encoder(config, vocabulary_size),
        build.image_encoder(config, None),
        data.steps_per_epoch,
    )


def fresh_sampler(config: Config, data: Data) -> Sampler:
    """A sampler with the networks of an exported model."""
    size = len(data.vocabulary)
    return Sampler(
        caption_encoder=CaptionEncoder(
            vocabulary=data.vocabulary,
            text_encoder=build.text_encoder(config, size, use_cudnn=False),
            words_num=config.words_num_test,
        ),
        generator=build.generator(config, fused=True),
        condition_noise=config.condition_noise,
    )
