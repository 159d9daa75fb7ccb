"""Opens, prepares and repairs data sets by name."""

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging

from attngan_tf.config import Config
from attngan_tf.data import checksums
from attngan_tf.data.coco import Coco
from attngan_tf.data.cub import Cub
from attngan_tf.data.demo.builder import Demo
from attngan_tf.data.files import config_name
from attngan_tf.data.findings import FaultsError
from attngan_tf.data.folder import Folder
from attngan_tf.data.fraction_split import FractionSplit
from attngan_tf.data.raw import Found, RawConfig, RawImages
from attngan_tf.data.records import CaptionedImages, Report
from attngan_tf.data.workers import (
    Workers,
    failures_as_user_errors,
    pipeline_options,
)
from attngan_tf.errors import UserError
from attngan_tf.io import scratch

_DATASETS = {"demo": Demo, "folder": Folder, "cub": Cub, "coco": Coco}
# array_record's error for a record file that it cannot write.
_NOT_WRITTEN = re.compile(r"\w+\(\) failed: ([^;]+); writing")


def open_configured(config: Config) -> CaptionedImages:
    """The TFDS builder of a configuration's data set; it prepares nothing yet.

    The name of its folder has a fingerprint of the raw data (path, sizes and
    modification times of the files), so data that changed is prepared again.

    Raises:
      UserError: `data_dir` does not hold this data set, `captions_per_image`
        does not apply to it, or `prepared_dir` cannot be written.
    """
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    prepared_dir = os.path.expanduser(config.prepared_dir or default)
    builder_class, raw = _DATASETS[config.dataset], None
    if issubclass(builder_class, RawImages):
        raw = _raw_config(builder_class, config, prepared_dir)
    for flag in ("captions_per_image", "test_fraction"):
        if raw is None and (value := getattr(config, flag)):
            raise UserError(
                f"--{flag} applies to data in files; received {value} for "
                f"--dataset={config.dataset}, whose images and captions are "
                "generated; leave it out"
            )
    with _writable(prepared_dir), _quiet():
        return builder_class(data_dir=prepared_dir, config=raw)


def _raw_config(
    builder_class: type[RawImages], config: Config, prepared_dir: str
) -> RawConfig:
    source = os.path.abspath(os.path.expanduser(config.data_dir))
    if not config.data_dir or not os.path.exists(source):
        raise UserError(
            f"--data_dir must name the raw data of --dataset={config.dataset}; "
            + (
                f"there is nothing at {config.data_dir!r}"
                if config.data_dir
                else "received none"
            )
        )
    count = config.captions_per_image or builder_class.CAPTIONS_PER_IMAGE
    found = builder_class.found(source)
    settings, fraction_split, split = [count], None, found.split
    if config.test_fraction:
        fraction_split = _fraction_split(source, found, config, prepared_dir)
        settings.append(config.test_fraction)
        split = (
            f"--test_fraction={config.test_fraction}, recorded in "
            f"{fraction_split.path}"
        )
    elif not found.split:
        raise UserError(
            "--data_dir must have a split: train.txt and test.txt beside text/ "
            f"and images/, or folders train/ and test/; {source} has none; add "
            "one, or set --test_fraction=0.1"
        )
    if config.tokenizer != "ascii":
        settings.append(config.tokenizer)
    return RawConfig(
        name=config_name(source, found.files, *settings),
        source=source,
        captions_per_image=count,
        tokenizer=config.tokenizer,
        fraction_split=fraction_split,
        layout=found.captions
        and f"captions in {found.captions}; split by {split}",
    )


def _fraction_split(
    source: str, found: Found, config: Config, prepared_dir: str
) -> FractionSplit:
    if found.split:
        raise UserError(
            "--test_fraction applies to data without a split; received "
            f"{config.test_fraction}, and {source} has {found.split}; leave it "
            "out"
        )
    file = f"{config_name(source, {}, config.test_fraction)}.json"
    path = os.path.join(prepared_dir, "splits", file)
    return FractionSplit(path, config.test_fraction, config.seed)


def prepare(
    builder: CaptionedImages, repair: bool = False, beam_options: str = ""
) -> Report:
    """Writes the prepared data if it does not exist, and returns its report.

    Existing data is verified by the checksums of all its files. All faults of
    the raw data are printed to stderr, one per line.

    Args:
      builder: the data set.
      repair: whether to report damaged data and prepare it again. Otherwise
        damage is an error, since the disk may be failing, or other processes
        may be reading the data.
      beam_options: flags of Apache Beam, whose workers then read the images;
        "": this process reads them.

    Raises:
      UserError: the prepared data is damaged, the raw data has faults, or
        nothing can be written. No incomplete data is left, and existing data
        is not changed.
    """
    if beam_options and not isinstance(builder, RawImages):
        raise UserError(
            "--beam_options applies to data in files; received "
            f"{beam_options!r} for --dataset=demo; leave it out"
        )
    beam = pipeline_options(beam_options) if beam_options else None
    folder = builder.data_dir
    with _writable(builder.data_dir_root):
        if not os.path.exists(folder):
            _write(builder, beam)
        elif damage := checksums.damage(folder):
            if not repair:
                more = f" and {len(damage) - 1} more" * (len(damage) > 1)
                raise UserError(
                    f"prepared data must stay as it was written; {folder} is "
                    f"damaged: {damage[0]}{more}; to repair it, run python -m "
                    "attngan_tf.prepare with the same flags"
                )
            for line in damage:
                print(f"damaged: {folder}/{line}", file=sys.stderr)
            print("preparing it again from the raw data", file=sys.stderr)
            _write(builder, beam, replace=True)
        return Report.load(folder)


@contextlib.contextmanager
def _writable(folder: str) -> Iterator[None]:
    """Turns the errors of an unwritable folder into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            "--prepared_dir must be a folder with space to write to; received "
            f"{folder}: {error.strerror or error}"
        ) from None


def _write(builder: CaptionedImages, beam, replace: bool = False) -> None:
    """Prepares the data in a temporary folder, then renames that."""
    folder = builder.data_dir
    try:
        with scratch.folder(os.path.dirname(folder), "incomplete.") as home:
            fresh = _prepared_below(home, builder, beam)
            if replace:
                os.rename(folder, os.path.join(home, "damaged"))
            try:
                os.rename(fresh, folder)
            except OSError:
                if not os.path.isdir(folder):  # no other process was first
                    raise
    except FaultsError as error:
        for fault in error.faults:
            print(f"fault: {fault}", file=sys.stderr)
        raise
    builder.info.read_from_directory(folder)


def _prepared_below(home: str, builder: CaptionedImages, beam) -> str:
    """Prepares a data set below another folder; returns its folder."""
    settings = tfds.download.DownloadConfig(
        try_download_gcs=False, beam_options=beam
    )
    failures = failures_as_user_errors() if beam else contextlib.nullcontext()
    with _quiet():
        fresh = type(builder)(data_dir=home, config=builder.builder_config)
        if beam:
            fresh.workers = Workers(beam, os.path.abspath(f"{home}/beam"))
        try:
            with failures:
                fresh.download_and_prepare(download_config=settings)
        except RuntimeError as error:
            failed = _NOT_WRITTEN.search(str(error))
            if failed is None:
                raise
            raise OSError(failed[1]) from None
    fresh.describe()
    checksums.write(fresh.data_dir)
    return fresh.data_dir


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses TFDS's messages and Pillow's warnings about images."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", module="PIL")
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()
