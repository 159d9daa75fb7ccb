"""python -m attngan_tf.benchmark: the speed of training and generation.

`share_of_peak` in the printed line is the fraction of the machine's peak that
is reached: the networks' operations per second (`flops`) divided by those of
the fastest matrix product in the same run (`machine`).
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import keras
import tensorflow as tf
from absl import flags

from attngan_tf.benchmarking import flops, machine, memory, programs
from attngan_tf.benchmarking.programs import Program
from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.views import changes_as_user_errors
from attngan_tf.errors import UserError
from attngan_tf.training import distribution

MODES = {
    "train": programs.train,
    "generate": programs.generate,
    "damsm": programs.train_damsm,
    "input": programs.make_batches,
}
WARM_UP = 5  # calls before the timed ones; they use up prefetched batches
PROFILED = 3  # calls in a profile
DIGITS = 4  # significant digits of the printed numbers


def time_calls(call: Callable[[], object], count: int) -> list[float]:
    """Seconds that each of `count` calls takes, after the warm-up."""
    for _ in range(WARM_UP):
        call()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def speed(seconds: list[float], batch_size: int) -> dict[str, float]:
    """Images per second over all calls, and the median time of a call."""
    return {
        "images_per_second": batch_size * len(seconds) / sum(seconds),
        "step_ms": 1000 * statistics.median(seconds),
    }


def speeds(program: Program, steps: int) -> dict[str, float]:
    """The speed of a program and, if it has one, of its input pipeline.

    `input_over_train` is the pipeline's images per second divided by those of
    the steps. If it is below 1, training waits for its input.
    """
    batch_size = program.batch_size
    if program.pipeline is not None:
        rate = speed(time_calls(program.pipeline, steps), batch_size)
    compile_s = 0.0
    if program.graph is not None:
        start = time.perf_counter()
        program.call()
        compile_s = time.perf_counter() - start
    found = speed(time_calls(program.call, steps), batch_size)
    found["compile_s"] = compile_s
    if program.pipeline is not None:
        input_rate = rate["images_per_second"]
        found["input_images_per_second"] = input_rate
        found["input_over_train"] = input_rate / found["images_per_second"]
    return found


def arithmetic(
    program: Program, images_per_second: float, precision: str
) -> dict:
    """The networks' operations, and the fraction of the machine's peak reached.

    The peak is measured in the compute dtype of `precision`, a Keras policy.

    Returns:
      parameters (including fixed networks and BN statistics),
      flops_per_image, flops_left_out (see `flops.Count`), peak_tflops (of all
      devices), and share_of_peak.
    """
    counted = flops.count(program.graph())
    strategy = program.strategy
    # The graph of a worker has only the operations of its own replicas.
    workers = strategy.num_replicas_in_sync // len(
        strategy.extended.worker_devices
    )
    an_image = counted.flops * workers / program.batch_size
    dtype = keras.DTypePolicy(precision).compute_dtype
    peak = machine.devices(strategy) * machine.matrix_product_peak(dtype)
    return {
        "parameters": {
            name: sum(network.count_params() for network in networks)
            for name, networks in program.networks.items()
        },
        "flops_per_image": round(an_image),
        "flops_left_out": counted.left_out,
        "peak_tflops": peak / 1e12,
        "share_of_peak": an_image * images_per_second / peak,
    }


def write_profile(call: Callable[[], object], folder: str) -> None:
    """Writes a TensorBoard profile of a few calls."""
    with tf.profiler.experimental.Profile(folder):
        for number in range(PROFILED):
            with tf.profiler.experimental.Trace("call", step_num=number, _r=1):
                call()


def benchmark(
    config: Config, mode: str, steps: int, profile: str | None = None
) -> dict:
    """Times `steps` calls of a mode; `profile` is a folder for a profile.

    The configuration's workdir is not written to.

    Returns:
      images_per_second, step_ms (median), compile_s (the first call, with
      tracing), peak_rss_mb, the settings of the measurement and, if networks
      run, the results of `arithmetic`.
    """
    strategy = distribution.make_strategy(config)
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    program = MODES[mode](config, strategy, prepared_data.read_data(builder))
    found = {
        "mode": mode,
        **speeds(program, steps),
        "peak_rss_mb": memory.peak_rss() / 1e6,
        "batch_size": program.batch_size,
        "steps": steps,
        "image_sizes": list(config.image_sizes),
        "dataset": config.dataset,
        "precision": config.precision,
        "replicas": program.strategy.num_replicas_in_sync,
        "cpus": os.cpu_count(),
    }
    if profile:
        write_profile(program.call, profile)
    if program.graph is not None:
        rate = found["images_per_second"]
        found |= arithmetic(program, rate, config.precision)
    return found


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of training, and the command's own."""
    command.define_config_flags(values)
    flags.DEFINE_enum(
        "mode",
        "train",
        list(MODES),
        "what to measure: training steps of the GAN, and its input pipeline "
        "(train); the generation of images as in an exported model "
        "(generate); training steps of the encoders from --damsm_batch_size "
        "images, with the whole image encoder even if --damsm_cached_views "
        "caches its features (damsm); or only the GAN's input pipeline (input)",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "steps",
        20,
        "number of batches or steps to measure",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_string(
        "profile",
        None,
        "folder for a TensorBoard profile of a few more steps; to view it, "
        "`pip install tensorboard-plugin-profile` in an environment of its "
        "own",
        flag_values=values,
    )


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    if arguments:
        raise command.flags_only("benchmark", arguments)
    config = command.config_from_flags(values)
    profile = values.profile and os.path.expanduser(values.profile)
    if profile:
        try:
            os.makedirs(profile, exist_ok=True)
            with tempfile.TemporaryFile(dir=profile):
                pass
        except OSError as error:
            raise UserError(
                "--profile must be a writable folder; received "
                f"{values.profile}: {error.strerror}"
            ) from None
    with changes_as_user_errors():
        found = benchmark(config, values.mode, values.steps, profile)
    rounded = {
        name: float(f"{value:.{DIGITS}g}")
        if isinstance(value, float)
        else value
        for name, value in found.items()
    }
    print(json.dumps(rounded))


if __name__ == "__main__":
    command.run(define_flags, main)
