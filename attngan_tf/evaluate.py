"""python -m attngan_tf.evaluate: how good generated pictures are."""

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Sequence

import tqdm
from absl import flags

from attngan_tf import command
from attngan_tf.backends.backend import Backend
from attngan_tf.backends.opening import KINDS, open_backend
from attngan_tf.config import Config, UserError
from attngan_tf.curves import plot_curves
from attngan_tf.data import catalog
from attngan_tf.metrics.scores import table
from attngan_tf.model import Encoders, load, load_encoders
from attngan_tf.report import write_report
from attngan_tf.runs import read_runs
from attngan_tf.scoring.evaluation import METRICS, Evaluation
from attngan_tf.scoring.follow import follow, is_scored
from attngan_tf.training import assembly, distribution
from attngan_tf.training.assembly import Data
from attngan_tf.training.log import Log

COLOUR_LEAST_SIZE = 16  # side of a picture in which a bird can be found
WAIT_SECONDS = 30  # between two looks for a new checkpoint
SCORES_FILE = "scores.png"


def choose_metrics(
    asked: Sequence[str] | None, config: Config, backend: Backend | None
) -> list[str]:
    """The metrics to compute: those asked for, or all that apply.

    Args:
      asked: names; None: all.
      config: the model's.
      backend: see `Evaluation`.

    Raises:
      UserError: there is no such metric, or it does not apply.
    """
    lacking = _lacking(config, backend)
    if asked is None:
        return [name for name in METRICS if name not in lacking]
    for name in asked or [""]:
        if name not in METRICS:
            raise UserError(
                f"--metrics must be some of {', '.join(METRICS)}, with commas "
                f"between them; received {name!r}"
            )
        if name in lacking:
            raise UserError(f"--metrics={name} {lacking[name]}")
    return list(asked)


def _lacking(config: Config, backend: Backend | None) -> dict[str, str]:
    """Why metrics do not apply, by their names."""
    lacking, size = {}, config.image_sizes[-1]
    if backend is None or backend.classes is None:
        name = backend.name if backend else "the run's own image encoder"
        lacking["is"] = (
            f"needs a backend that gives probabilities of classes; {name} "
            "gives none; name one by --backend, such as inception_v3"
        )
    if backend and backend.pooled_size is None:
        for name in ("fid", "kid"):
            lacking[name] = (
                f"needs a backend that gives pooled features; {backend.name} "
                "gives none; name another --backend"
            )
    if config.dataset != "demo" or size < COLOUR_LEAST_SIZE:
        lacking["colour"] = (
            "looks for the birds of --dataset=demo in pictures of "
            f"{COLOUR_LEAST_SIZE} pixels or more; this model was trained on "
            f"{config.dataset}, {size} pixels; leave it out"
        )
    return lacking


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    common = {"flag_values": values}
    command.define_model_flags(values)
    flags.DEFINE_alias("step", "checkpoint", **common)
    flags.DEFINE_list(
        "metrics",
        None,
        f"scores to compute, of {', '.join(METRICS)}; without it, all that "
        "apply (is: to backends that know classes; colour: to the demo data)",
        **common,
    )
    flags.DEFINE_integer(
        "num_images",
        1000,
        "pictures to draw; at most so many real ones are used; published "
        "scores are of 30000",
        lower_bound=100,
        **common,
    )
    flags.DEFINE_integer(
        "splits", 10, "parts of the Inception score", lower_bound=1, **common
    )
    flags.DEFINE_integer(
        "seed",
        0,
        "seed of the first picture's noise; the next has the next",
        lower_bound=0,
        upper_bound=2**53,
        **common,
    )
    flags.DEFINE_enum(
        "split",
        "test",
        ["test", "train"],
        "split whose captions are drawn, and whose pictures are compared",
        **common,
    )
    _define_networks(values)
    _define_places(values)


def _define_networks(values: flags.FlagValues) -> None:
    common = {"flag_values": values}
    flags.DEFINE_string(
        "backend",
        None,
        "network whose features (fid, kid) and classes (is) are compared: "
        f"{KINDS}; without it, the run's own image encoder",
        **common,
    )
    flags.DEFINE_string(
        "backend_weights",
        "imagenet",
        "weights of --backend=inception_v3: imagenet (downloaded) or a path",
        **common,
    )
    flags.DEFINE_string(
        "encoders",
        None,
        "workdir whose encoders R-precision is measured by; without it, the "
        "run's own",
        **common,
    )
    flags.DEFINE_enum(
        "distribution",
        "auto",
        ["auto", "one_device", "mirrored"],
        "devices that draw: auto takes every GPU, or the CPU",
        **common,
    )
    flags.DEFINE_integer(
        "virtual_devices",
        0,
        "split the CPU into so many devices, to try several replicas",
        lower_bound=0,
        upper_bound=64,
        **common,
    )


def _define_places(values: flags.FlagValues) -> None:
    common = {"flag_values": values}
    flags.DEFINE_string(
        "data_dir",
        None,
        "folder of the raw data; without it, the one the run was made with",
        **common,
    )
    flags.DEFINE_string(
        "prepared_dir",
        None,
        "folder of the prepared data; without it, the run's",
        **common,
    )
    flags.DEFINE_bool(
        "follow",
        False,
        "score every checkpoint of a run that is still trained, each once, "
        "until the run is done; draws scores.png",
        **common,
    )
    flags.DEFINE_string(
        "report",
        None,
        "folder to write a table and curves of the runs to that are named "
        "behind the flags; nothing is scored",
        **common,
    )


def open_data(
    config: Config, data_dir: str | None, prepared_dir: str | None
) -> Data:
    """The data a model was trained on, prepared if it is not yet.

    Args:
      config: the model's.
      data_dir: where the raw data lies now; None: where it did.
      prepared_dir: the same of the prepared data.
    """
    moved = {"data_dir": data_dir, "prepared_dir": prepared_dir}
    moved = {name: path for name, path in moved.items() if path is not None}
    config = dataclasses.replace(config, **moved)
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    return assembly.open_data(builder, config)


def open_evaluation(
    values: flags.FlagValues, which: str
) -> tuple[Evaluation, list[str]]:
    """The evaluation that flags ask for, of a checkpoint, and its metrics.

    Raises:
      UserError: a flag does not fit, or something is missing.
    """
    config = dataclasses.replace(
        Config.load(values.workdir),
        distribution=values.distribution,
        virtual_devices=values.virtual_devices,
    )
    strategy = distribution.devices(config)
    with strategy.scope():
        backend = values.backend and open_backend(
            values.backend, values.backend_weights
        )
        names = choose_metrics(values.metrics, config, backend or None)
        model = load(values.workdir, which)
        judge = Encoders(model.config, model.sampler, model.image_encoder)
        if values.encoders:
            judge = load_encoders(values.encoders)
    found = Evaluation(
        model=model,
        judge=judge,
        backend=backend or None,
        data=open_data(model.config, values.data_dir, values.prepared_dir),
        split=values.split,
        num_images=values.num_images,
        seed=values.seed,
        splits=values.splits,
        strategy=strategy,
        progress=_bar(f"drawing {values.num_images} pictures"),
    )
    return found, names


def _bar(title: str) -> functools.partial:
    return functools.partial(
        tqdm.tqdm,
        desc=title,
        unit="batch",
        mininterval=0.5 if sys.stderr.isatty() else 60,
    )


def score(found: Evaluation, names: Sequence[str], log: Log) -> None:
    """Scores the model as it is; tells, logs, and draws nothing twice."""
    start = time.monotonic()
    rows = found.score(names)
    seconds = time.monotonic() - start
    numbers = {k: v for row in rows for k, v in row.numbers().items()}
    numbers |= {"epoch": found.epoch, "seconds": seconds}
    log.report(found.model.step, numbers, found.texts())
    print("\n" + table(rows) + "\n")
    for name, text in found.texts().items():
        print(f"{name}: {text}")
    print(f"seconds: {seconds:.0f}")
    for warning in found.warnings(names):
        print(f"note: {warning}")


def score_each(values: flags.FlagValues) -> None:
    """Scores the checkpoints of a run as they come."""
    config = Config.load(values.workdir)
    log = Log(values.workdir, "evaluate")
    opened = []

    def score_step(step: int) -> None:
        # Encoders that are trained, too, give other features at each step.
        if not opened or config.finetune_damsm:
            opened[:] = open_evaluation(values, str(step))
        found, names = opened
        found.model.restore(str(step))
        if not is_scored(values.workdir, step, found.texts()):
            score(found, names, log)
            picture = os.path.join(values.workdir, SCORES_FILE)
            plot_curves(picture, read_runs([values.workdir]))

    follow(values.workdir, score_step, WAIT_SECONDS)


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command."""
    if values.report:
        for path in write_report(values.report, arguments):
            print(path)
        return
    if arguments:
        raise command.flags_only("evaluate", arguments)
    if not values.workdir:
        raise UserError(
            "--workdir must name the folder of a training run; received none"
        )
    if values.follow:
        score_each(values)
        return
    found, names = open_evaluation(values, values.checkpoint)
    score(found, names, Log(values.workdir, "evaluate"))


if __name__ == "__main__":
    command.run(define_flags, main)
