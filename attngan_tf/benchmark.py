"""python -m attngan_tf.benchmark: how fast this machine trains."""

import itertools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

import tensorflow as tf
from absl import flags

from attngan_tf import command
from attngan_tf.config import Config
from attngan_tf.data import catalog
from attngan_tf.models import build
from attngan_tf.training import assembly, distribution
from attngan_tf.training.assembly import Data
from attngan_tf.training.gan import GanStep
from attngan_tf.training.gan_stage import gan_step, training_data
from attngan_tf.training.loop import compile_step, distributed_batches

WARM_UP = 5  # calls before those that count: they empty what is prefetched
BATCHES = 4  # that training steps take turns with


def time_calls(call: Callable[[], object], count: int) -> list[float]:
    """Seconds that each of `count` calls takes, after a few not counted."""
    for _ in range(WARM_UP):
        call()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def speed(seconds: list[float], batch_size: int) -> dict[str, float]:
    """Pictures a second over all calls, and the median call."""
    return {
        "images_per_second": batch_size * len(seconds) / sum(seconds),
        "step_ms": 1000 * statistics.median(seconds),
    }


def benchmark_input(
    config: Config, strategy: tf.distribute.Strategy, data: Data, steps: int
) -> dict:
    """The pipeline of GAN training, with nothing else to do."""
    batches = distributed_batches(strategy, training_data(config, data), 0)
    iterator = iter(batches)
    seconds = time_calls(lambda: next(iterator), steps)
    return speed(seconds, config.batch_size) | {"compile_s": 0.0}


def benchmark_train(
    config: Config, strategy: tf.distribute.Strategy, data: Data, steps: int
) -> dict:
    """Steps of GAN training, on batches that are in memory already.

    So its pictures a second do not depend on the pipeline's, and their ratio
    tells which of the two waits for the other: the pipeline where it is above
    1. Encoders are as they are before training, which costs the same time.
    """
    pipeline_speed = benchmark_input(config, strategy, data, steps)
    with strategy.scope():
        step = _fresh_step(config, len(data.vocabulary))
    batches = distributed_batches(strategy, training_data(config, data), 0)
    turns = itertools.cycle(list(itertools.islice(iter(batches), BATCHES)))
    compiled = compile_step(
        strategy, step, step.update_average, config.jit_compile
    )

    def call():
        float(compiled(next(turns))["generator/total"])  # waits for it

    start = time.perf_counter()
    call()
    compile_s = time.perf_counter() - start
    found = speed(time_calls(call, steps), config.batch_size)
    input_rate = pipeline_speed["images_per_second"]
    return found | {
        "compile_s": compile_s,
        "input_images_per_second": input_rate,
        "input_over_train": input_rate / found["images_per_second"],
        "parameters": _parameters(step),
    }


def _fresh_step(config: Config, vocabulary_size: int) -> GanStep:
    text_encoder = build.text_encoder(config, vocabulary_size)
    image_encoder = build.image_encoder(config, None)
    text_encoder.trainable = False
    image_encoder.trainable = False
    return gan_step(config, text_encoder, image_encoder)


def _parameters(step: GanStep) -> dict[str, int]:
    """Numbers of weights, those of frozen networks and of BN too."""
    discriminators = step.discriminators.values()
    return {
        "generator": step.generator.count_params(),
        "discriminators": sum(d.count_params() for d in discriminators),
        "text_encoder": step.text_encoder.count_params(),
        "image_encoder": step.image_encoder.count_params(),
    }


MODES = {"input": benchmark_input, "train": benchmark_train}


def peak_rss_mb() -> float:
    """The most memory this process has had so far, in 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def benchmark(config: Config, mode: str, steps: int) -> dict:
    """Measures; nothing is written but prepared data, if there is none yet.

    Args:
      config: sizes, data and devices; its workdir is not touched.
      mode: what to measure, of MODES.
      steps: calls that count.

    Returns:
      images_per_second, step_ms (median), compile_s (the first step, tracing
      and compiling included), peak_rss_mb, what else the mode gives, and the
      sizes they were measured at.
    """
    strategy = distribution.make_strategy(config)
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    data = assembly.read_data(builder)
    found = MODES[mode](config, strategy, data, steps)
    return {
        "mode": mode,
        **found,
        "peak_rss_mb": peak_rss_mb(),
        "batch_size": config.batch_size,
        "steps": steps,
        "image_sizes": list(config.image_sizes),
        "dataset": config.dataset,
        "precision": config.precision,
        "replicas": strategy.num_replicas_in_sync,
        "cpus": os.cpu_count(),
    }


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags: those of training, and its own."""
    command.define_config_flags(values)
    flags.DEFINE_enum(
        "mode",
        "train",
        list(MODES),
        "what to measure: the input pipeline, or the GAN's training steps "
        "and the pipeline beside them",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "steps",
        20,
        "batches or steps to measure",
        lower_bound=1,
        flag_values=values,
    )


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command."""
    if arguments:
        raise command.flags_only("benchmark", arguments)
    config = command.config_from_flags(values)
    found = benchmark(config, values.mode, values.steps)
    rounded = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in found.items()
    }
    print(json.dumps(rounded))


if __name__ == "__main__":
    command.run(define_flags, main)
