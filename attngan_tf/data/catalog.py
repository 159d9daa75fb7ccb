"""Data sets by name: where they are read from, and prepared to."""

import contextlib
import glob
import io
import os
import re
import sys
import tempfile
import warnings

import tensorflow_datasets as tfds
from absl import logging

from attngan_tf.config import Config
from attngan_tf.data import checksums
from attngan_tf.data.coco import Coco
from attngan_tf.data.cub import Cub
from attngan_tf.data.demo.builder import Demo
from attngan_tf.data.files import config_name
from attngan_tf.data.folder import Folder
from attngan_tf.data.raw import FaultsError, RawConfig, RawPictures
from attngan_tf.data.records import CaptionedPictures, Report
from attngan_tf.data.workers import pipeline_options
from attngan_tf.errors import UserError
from attngan_tf.io import scratch

# What array_record says of a record file that it cannot write.
_NOT_WRITTEN = re.compile(r"\w+\(\) failed: ([^;]+); writing")
# Folders that are prepared: TFDS's, and those beside what is damaged.
_INCOMPLETE, _REPAIR = "incomplete.", ".repair-"
_READ = {"folder": Folder, "cub": Cub, "coco": Coco}


def open_builder(
    dataset: str,
    data_dir: str,
    prepared_dir: str = "",
    captions_per_image: int = 0,
) -> CaptionedPictures:
    """The TFDS builder of a data set; nothing is prepared yet.

    The folder it prepares to is named after the raw data and a fingerprint of
    it (path, sizes and times of change of its files), so that data which
    changed is prepared again.

    Args:
      dataset: demo, folder, cub or coco.
      data_dir: the raw data; it is only read. demo has none.
      prepared_dir: empty: $TFDS_DATA_DIR, or ~/tensorflow_datasets.
      captions_per_image: captions each picture must have; 0: as many as the
        data set says.

    Raises:
      UserError: `data_dir` does not hold this data set.
    """
    prepared_dir = os.path.expanduser(
        prepared_dir
        or os.environ.get("TFDS_DATA_DIR")
        or os.path.join("~", "tensorflow_datasets")
    )
    if dataset == "demo":
        _check_demo(captions_per_image)
        return _open(Demo, prepared_dir, None)
    builder_class = _READ[dataset]
    source = os.path.abspath(os.path.expanduser(data_dir))
    if not data_dir or not os.path.exists(source):
        stays = _prepared_before(builder_class, source, prepared_dir)
        raise UserError(
            f"--data_dir must name the raw data of --dataset={dataset}; "
            f"there is nothing at {data_dir!r}{stays}"
        )
    least = captions_per_image or builder_class.CAPTIONS_PER_IMAGE
    files = builder_class.files(source)
    config = RawConfig(
        name=config_name(source, files, least),
        source=source,
        captions_per_image=least,
    )
    return _open(builder_class, prepared_dir, config)


def _check_demo(captions_per_image: int) -> None:
    if captions_per_image:
        raise UserError(
            "--captions_per_image is for data in files; received "
            f"{captions_per_image} for --dataset=demo, whose captions are "
            "made; leave it out"
        )


def _open(
    builder_class: type[CaptionedPictures],
    prepared_dir: str,
    config: RawConfig | None,
) -> CaptionedPictures:
    try:
        with _quiet():
            return builder_class(data_dir=prepared_dir, config=config)
    except OSError as error:  # not even to be looked into
        raise _not_writable(prepared_dir, error) from None


def _prepared_before(
    builder_class: type[RawPictures], source: str, prepared_dir: str
) -> str:
    """Words about what was prepared of raw data that is gone."""
    # Names are a folder's and a fingerprint.
    label = glob.escape(config_name(source, {}, 0)[:-8]) + "?" * 8
    found = glob.glob(
        os.path.join(glob.escape(prepared_dir), builder_class.name, label)
    )
    return f"; what was prepared of it stays: {', '.join(found)}" * bool(found)


def open_configured(config: Config) -> CaptionedPictures:
    """The builder of a configuration's data set; see `open_builder`."""
    return open_builder(
        config.dataset,
        config.data_dir,
        config.prepared_dir,
        config.captions_per_image,
    )


def prepare(
    builder: CaptionedPictures, repair: bool = False, beam_options: str = ""
) -> Report:
    """Writes the prepared data, if it is not there, and says what it holds.

    What is there is verified, by the checksums of all files. Every fault of
    the raw data is printed to stderr, in a line of its own. What preparations
    that were killed left is removed, unless another one is at work there.

    Args:
      builder: the data set.
      repair: prepare data that is damaged again, and say so. Otherwise that
        is an error: a file that changed may be a disk that fails, and others
        may be reading it, so nothing is replaced unasked.
      beam_options: Apache Beam's flags: its workers read the pictures. Empty:
        this process does.

    Raises:
      UserError: the prepared data is damaged, the raw data has faults, or
        nothing can be written; nothing half-prepared is left, and what was
        there before stays.
    """
    folder = builder.data_dir
    settings = _settings(builder, beam_options)
    try:
        damage = _damage(builder) if os.path.lexists(folder) else []
        if damage and not repair:
            raise _damaged(folder, damage)
        _write(builder, damage, settings)
    except FaultsError as error:
        for fault in error.faults:
            print(f"fault: {fault}", file=sys.stderr)
        raise
    except OSError as error:
        raise _not_writable(builder.data_dir_root, error) from None
    return Report.load(folder)


def _write(
    builder: CaptionedPictures,
    damage: list[str],
    settings: tfds.download.DownloadConfig,
) -> None:
    """Prepares what is not there, or is damaged."""
    folder = builder.data_dir
    parent = os.path.dirname(folder)
    patterns = f"{_INCOMPLETE}*", f"{_REPAIR}*"
    if not damage and os.path.lexists(folder):
        scratch.remove_left(parent, *patterns)
        return
    try:
        with scratch.writer(parent, *patterns):
            if damage:
                _repair(builder, damage, settings)
            else:
                _run(builder, settings)
    finally:
        with contextlib.suppress(OSError):  # only if nothing is in it
            os.rmdir(parent)


def _damage(builder: CaptionedPictures) -> list[str]:
    found = checksums.damage(builder.data_dir)
    if not found and not builder.info.initialized:
        found = ["dataset_info.json: this version of TFDS cannot read it"]
    return found


def _damaged(folder: str, damage: list[str]) -> UserError:
    more = f" and {len(damage) - 1} more" * (len(damage) > 1)
    return UserError(
        f"prepared data must stay as it was written; {folder} is damaged: "
        f"{damage[0]}{more}; to repair it, run python -m attngan_tf.prepare "
        "with the same flags"
    )


def _not_writable(folder: str, error: OSError) -> UserError:
    return UserError(
        "--prepared_dir must be a folder with room to write to; received "
        f"{folder}: {error.strerror or error}"
    )


def _settings(
    builder: CaptionedPictures, beam_options: str
) -> tfds.download.DownloadConfig:
    if beam_options and not isinstance(builder, RawPictures):
        raise UserError(
            "--beam_options is for data in files; received "
            f"{beam_options!r} for --dataset=demo; leave it out"
        )
    return tfds.download.DownloadConfig(
        try_download_gcs=False,
        beam_options=pipeline_options(beam_options) if beam_options else None,
    )


def _repair(
    builder: CaptionedPictures,
    damage: list[str],
    settings: tfds.download.DownloadConfig,
) -> None:
    """Prepares the data anew beside what is damaged, then replaces that."""
    folder = builder.data_dir
    for line in damage:
        print(f"damaged: {os.path.join(folder, line)}", file=sys.stderr)
    print("preparing it again from the raw data", file=sys.stderr)
    try:
        with tempfile.TemporaryDirectory(
            prefix=_REPAIR, dir=os.path.dirname(folder)
        ) as home:
            with _quiet():
                fresh = builder.elsewhere(home)
            _run(fresh, settings)
            _replace(folder, fresh.data_dir, os.path.join(home, "damaged"))
    except BaseException:
        print(f"the damaged data stays: {folder}", file=sys.stderr)
        raise
    builder.info.read_from_directory(folder)


def _replace(folder: str, fresh: str, aside: str) -> None:
    """Puts `fresh` in the place of a folder, which is moved `aside`."""
    os.rename(folder, aside)
    try:
        os.rename(fresh, folder)
    except OSError:
        os.rename(aside, folder)
        raise
    if os.path.isdir(aside):
        # What others keep there, such as features of the real pictures.
        for name in set(os.listdir(aside)) - set(os.listdir(folder)):
            os.rename(os.path.join(aside, name), os.path.join(folder, name))


def _run(
    builder: CaptionedPictures, settings: tfds.download.DownloadConfig
) -> None:
    try:
        with _quiet():
            builder.download_and_prepare(download_config=settings)
    except OSError:
        # Was another process first? TFDS cannot rename its folder onto that.
        if not os.path.isdir(builder.data_dir):
            raise
    except RuntimeError as error:
        failed = _NOT_WRITTEN.search(str(error))
        if failed is None:
            raise
        raise OSError(failed[1]) from None
    builder.info.read_from_directory(builder.data_dir)


@contextlib.contextmanager
def _quiet():
    """Without TFDS's talk of downloads and of unlisted configurations.

    And without Pillow's of pictures: those of no use are faults.
    """
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
