"""python -m attngan_tf.evaluate: scores of generated images."""

import contextlib
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf
import tqdm
from absl import flags

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.prepared_data import Data
from attngan_tf.data.views import changes_as_user_errors
from attngan_tf.encoders import Encoders, has_image_encoder, load_encoders
from attngan_tf.errors import UserError
from attngan_tf.evaluation.evaluator import Evaluator
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.features.opening import (
    INCEPTION,
    KINDS,
    open_extractor,
)
from attngan_tf.evaluation.follow import follow, is_scored
from attngan_tf.evaluation.held_out import CANDIDATES
from attngan_tf.evaluation.registry import METRICS, choose_metrics
from attngan_tf.evaluation.report import write_report
from attngan_tf.runs.reports import described, read_runs
from attngan_tf.runs.scores import table
from attngan_tf.text_to_image import load
from attngan_tf.training import distribution
from attngan_tf.training.log import Log
from attngan_tf.visualization.curves import plot_curves

# Flags, and those that cannot be combined with them.
ALONE = {
    "report": ("workdir", "checkpoint", "metrics", "backend", "follow"),
    "follow": ("checkpoint",),
}
# Fraction of the captions' words that the encoders of --encoders must know.
MIN_KNOWN = 0.5
OF_ENCODERS = ("r_precision", "retrieval")  # metrics that compare its features
WAIT_SECONDS = 30  # between two searches for a new checkpoint
SCORES_FILE = "scores.png"


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    command.define_model_flags(values)
    command.define_seed_flag(
        values, 0, "seed of the first image's noise; image n has seed + n"
    )
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    flags.DEFINE_list(
        "metrics",
        None,
        f"metrics to compute, of {', '.join(METRICS)}; default: all that apply "
        "(is applies to feature extractors with classes, colour and parts to "
        "the demo data)",
        flag_values=values,
    )
    integer(
        "num_images",
        1000,
        f"images to generate, at least {CANDIDATES}, and maximum number of "
        "real images to compare with them; published scores use 30000",
    )
    integer("splits", 10, "splits of the Inception score", lower_bound=1)
    flags.DEFINE_enum(
        "split",
        "test",
        ["test", "train"],
        "split of the captions, and of the real images to compare with",
        flag_values=values,
    )
    _define_device_flags(values)
    _define_path_flags(values)


def _define_device_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_enum(
        "distribution",
        "auto",
        ["auto", "one_device", "mirrored"],
        "devices that generate images: auto uses every GPU, or the CPU",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "virtual_devices",
        0,
        "number of devices to split the CPU into, to test several replicas",
        lower_bound=0,
        upper_bound=64,
        flag_values=values,
    )


def _define_path_flags(values: flags.FlagValues) -> None:
    """Defines the flags of networks, folders and reports."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    string(
        "backend",
        None,
        "feature extractor of fid, kid, precision_recall and is: "
        f"{KINDS}; default: the run's own image encoder",
    )
    string(
        "backend_weights",
        "imagenet",
        "weights of --backend=inception_v3: imagenet (downloaded) or a path",
    )
    string(
        "encoders",
        None,
        "workdir of the evaluation encoders, for r_precision and retrieval "
        "and, without --backend, for fid, kid and precision_recall; default: "
        "the run's own",
    )
    flags.DEFINE_enum(
        "dataset",
        None,
        list(Config.__dataclass_fields__["dataset"].metadata["choices"]),
        "data set to score on; default: the run's",
        flag_values=values,
    )
    string("data_dir", None, "folder of the raw data; default: the run's")
    string(
        "prepared_dir", None, "folder of the prepared data; default: the run's"
    )
    string(
        "report",
        None,
        "folder for a report, a table and curves, that compares the runs "
        "whose workdirs follow the flags; nothing is scored",
    )
    flags.DEFINE_bool(
        "follow",
        False,
        "score each checkpoint of a run in training once, until the run is "
        "done, and write scores.png",
        flag_values=values,
    )


def open_data(
    config: Config, data_dir: str | None, prepared_dir: str | None
) -> Data:
    """Opens the data of a configuration; prepares it if necessary.

    Args:
      config: the model's configuration, with the data set to score on.
      data_dir: the folder of the raw data, if it has moved.
      prepared_dir: the folder of the prepared data, if it has moved.
    """
    moved = {"data_dir": data_dir, "prepared_dir": prepared_dir}
    moved = {name: path for name, path in moved.items() if path is not None}
    config = dataclasses.replace(config, **moved)
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    return prepared_data.open_data(builder, config.workdir)


@contextlib.contextmanager
def _named(name: str, values: flags.FlagValues) -> Iterator[None]:
    """Adds the flag to the message of a user error in the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"--{name}={values[name].value}: {error}") from None


class Task(NamedTuple):
    """What to score; checked before a checkpoint is needed."""

    config: Config
    strategy: tf.distribute.Strategy
    extractor: FeatureExtractor | None
    metrics: list[str]


def open_task(values: flags.FlagValues) -> Task:
    """The task that flags describe.

    Raises:
      UserError: a flag is wrong, or something is missing.
    """
    config = dataclasses.replace(
        Config.load(values.workdir),
        distribution=values.distribution,
        virtual_devices=values.virtual_devices,
    )
    if values.dataset not in (None, config.dataset):
        # The other settings are those of the run's own data.
        config = dataclasses.replace(
            config,
            dataset=values.dataset,
            data_dir="",
            captions_per_image=0,
            test_fraction=0.0,
        )
    strategy, extractor = distribution.devices(config), None
    if values.backend:
        with strategy.scope(), _named("backend", values):
            extractor = open_extractor(values.backend, values.backend_weights)
    metrics = choose_metrics(values.metrics, config, extractor)
    return Task(config, strategy, extractor, metrics)


def open_evaluator(
    values: flags.FlagValues, task: Task, which: str
) -> Evaluator:
    """The evaluator of a checkpoint.

    Raises:
      UserError: a flag is wrong, or something is missing.
    """
    with task.strategy.scope():
        model, metrics = load(values.workdir, which), task.metrics
        if values.encoders:
            with _named("encoders", values):
                encoders = load_encoders(values.encoders)
        elif has_image_encoder(values.workdir):
            encoders = model.encoders
        else:
            encoders = Encoders(model.config, model, None)
            metrics = _without_image_encoder(values, task)
    evaluator = Evaluator(
        model=model,
        encoders=encoders,
        extractor=task.extractor,
        data=open_data(task.config, values.data_dir, values.prepared_dir),
        dataset=task.config.dataset,
        split=values.split,
        metrics=metrics,
        num_images=values.num_images,
        seed=values.seed,
        splits=values.splits,
        strategy=task.strategy,
        progress=functools.partial(
            tqdm.tqdm,
            desc="generating images",
            unit="batch",
            mininterval=0.5 if sys.stderr.isatty() else 60,
        ),
    )
    if values.encoders and {*OF_ENCODERS} & {*metrics}:
        _check_words(evaluator)
    return evaluator


def _without_image_encoder(values: flags.FlagValues, task: Task) -> list[str]:
    """The metrics that need no image encoder; prints the others.

    Raises:
      UserError: a metric that was named needs one, or there is no --backend.
    """
    fault = f"{values.workdir} was converted without an image encoder"
    lost = [name for name in task.metrics if name in OF_ENCODERS]
    if task.extractor is None or (values.metrics and lost):
        raise UserError(
            f"scoring needs an image encoder; {fault}; name another workdir's "
            "with --encoders, or a network with --backend for all metrics but "
            f"{' and '.join(OF_ENCODERS)}"
        )
    if lost:
        print(f"not computed: {', '.join(lost)}; {fault}; see --encoders")
    return [name for name in task.metrics if name not in lost]


def _check_words(evaluator: Evaluator) -> None:
    """Prints the fraction of the captions' words that --encoders know.

    Raises:
      UserError: it is less than MIN_KNOWN.
    """
    encoders = evaluator.encoders
    known = encoders.caption_encoder.vocabulary.known_fraction(
        evaluator.held_out.lines
    )
    about = f"of the words of the {evaluator.split} captions"
    if known < MIN_KNOWN:
        raise UserError(
            f"--encoders must know at least {MIN_KNOWN:.0%} {about}; those of "
            f"{encoders.config.workdir} know {known:.1%}; use encoders that "
            "were trained on such captions"
        )
    print(f"--encoders know {known:.1%} {about}")


def score(evaluator: Evaluator, log: Log) -> None:
    """Scores the model; prints and logs the scores."""
    start = time.monotonic()
    rows = evaluator.score()
    seconds = time.monotonic() - start
    numbers = {k: v for row in rows for k, v in row.numbers().items()}
    numbers["seconds"] = seconds
    if evaluator.dataset == evaluator.model.config.dataset:
        numbers["epoch"] = evaluator.epoch
    conditions = {"metrics": ",".join(evaluator.metrics)}
    conditions |= evaluator.conditions()
    log.report(evaluator.model.step, numbers, conditions)
    print("\n" + table(rows) + "\n")
    for name, value in conditions.items():
        print(f"{name.replace('_', ' ')}: {described(value)}")
    print(f"seconds: {seconds:.0f}")
    for warning in evaluator.warnings():
        print(f"note: {warning}")


def score_each(values: flags.FlagValues) -> None:
    """Scores the checkpoints of a run while it is trained."""
    task = open_task(values)
    log = Log(values.workdir, "evaluate")
    opened = []
    print(f"scoring each checkpoint of {values.workdir} until it is done")

    def score_step(step: int) -> None:
        # Encoders that are trained with the GAN change at each step.
        if not opened or task.config.finetune_damsm:
            opened[:] = [open_evaluator(values, task, str(step))]
        (evaluator,) = opened
        evaluator.model.restore(str(step))
        conditions = evaluator.conditions()
        if is_scored(values.workdir, step, evaluator.metrics, conditions):
            print(f"step {step}: scored before")
            return
        score(evaluator, log)
        path = os.path.join(values.workdir, SCORES_FILE)
        plot_curves(path, read_runs([values.workdir]))

    follow(values.workdir, score_step, WAIT_SECONDS)


def check_flags(values: flags.FlagValues, arguments: list[str]) -> None:
    """Raises UserError if flags contradict one another."""
    command.check_alone(values, ALONE)
    if values.report is not None:
        return
    if arguments:
        raise command.flags_only("evaluate", arguments)
    command.check_workdir(values)
    if values.num_images < CANDIDATES:
        raise UserError(
            f"--num_images must be at least {CANDIDATES} (R-precision ranks "
            f"{CANDIDATES} captions, and scores of fewer images mean little); "
            f"received {values.num_images}"
        )
    if values.splits > values.num_images:
        raise UserError(
            "--splits must be at most --num_images; received "
            f"{values.splits} and {values.num_images}"
        )
    if values.backend_weights != "imagenet" and values.backend != INCEPTION:
        raise UserError(
            f"--backend_weights must be used with --backend={INCEPTION}; "
            f"received {values.backend_weights!r} and "
            f"{values.backend or 'no --backend'}"
        )


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    check_flags(values, arguments)
    if values.report is not None:
        for path in write_report(values.report, arguments):
            print(path)
        return
    with changes_as_user_errors():
        if values.follow:
            score_each(values)
            return
        evaluator = open_evaluator(values, open_task(values), values.checkpoint)
        score(evaluator, Log(values.workdir, "evaluate"))


if __name__ == "__main__":
    command.run(define_flags, main)
