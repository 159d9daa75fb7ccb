"""Data sets by name: opening, preparing, and repairing them."""

import contextlib
import io
import os
import re
import sys
import tempfile
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
from attngan_tf.data.raw import RawConfig, RawImages
from attngan_tf.data.records import CaptionedImages, Report
from attngan_tf.data.workers import pipeline_options
from attngan_tf.errors import UserError
from attngan_tf.io import scratch

_DATASETS = {"demo": Demo, "folder": Folder, "cub": Cub, "coco": Coco}
# array_record's error for a record file that it cannot write.
_NOT_WRITTEN = re.compile(r"\w+\(\) failed: ([^;]+); writing")
_REPAIR = ".repair-"
_TEMPORARY = ("incomplete.*", f"{_REPAIR}*")  # TFDS's folders and ours


def open_builder(
    dataset: str,
    data_dir: str,
    prepared_dir: str = "",
    captions_per_image: int = 0,
) -> CaptionedImages:
    """The TFDS builder of a data set; nothing is prepared yet.

    Arguments are as in `Config`. The folder it prepares is named after the raw
    data and a fingerprint of it (path, sizes and modification times of its
    files): data that changed is prepared again.

    Raises:
      UserError: `data_dir` does not hold this data set.
    """
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    prepared_dir = os.path.expanduser(prepared_dir or default)
    builder_class, config = _DATASETS[dataset], None
    if issubclass(builder_class, RawImages):
        source = os.path.abspath(os.path.expanduser(data_dir))
        if not data_dir or not os.path.exists(source):
            raise UserError(
                f"--data_dir must name the raw data of --dataset={dataset}; "
                f"there is nothing at {data_dir!r}"
            )
        count = captions_per_image or builder_class.CAPTIONS_PER_IMAGE
        name = config_name(source, builder_class.files(source), count)
        config = RawConfig(name=name, source=source, captions_per_image=count)
    elif captions_per_image:
        raise UserError(
            "--captions_per_image is for data in files; received "
            f"{captions_per_image} for --dataset={dataset}, whose captions "
            "are generated; leave it out"
        )
    with _writable(prepared_dir), _quiet():
        return builder_class(data_dir=prepared_dir, config=config)


def open_configured(config: Config) -> CaptionedImages:
    """The builder of a configuration's data set; see `open_builder`."""
    return open_builder(
        config.dataset,
        config.data_dir,
        config.prepared_dir,
        config.captions_per_image,
    )


def prepare(
    builder: CaptionedImages, repair: bool = False, beam_options: str = ""
) -> Report:
    """Writes the prepared data if it is not there; returns its report.

    Data that is there is verified by the checksums of all files. Every fault
    of the raw data is printed to stderr, one a line. Temporary folders of
    killed processes are removed, unless another process is preparing.

    Args:
      builder: the data set.
      repair: print what is damaged, and prepare it again. Otherwise damage is
        an error: the disk may be failing, or others be reading the data.
      beam_options: Apache Beam's flags, for its workers to read the images.

    Raises:
      UserError: the prepared data is damaged, the raw data has faults, or
        nothing can be written; nothing incomplete is left, and existing data
        is not changed.
    """
    if beam_options and not isinstance(builder, RawImages):
        raise UserError(
            "--beam_options is for data in files; received "
            f"{beam_options!r} for --dataset=demo; leave it out"
        )
    beam = pipeline_options(beam_options) if beam_options else None
    folder = builder.data_dir
    with _writable(builder.data_dir_root):
        damage = _damage(builder) if os.path.lexists(folder) else []
        if damage and not repair:
            more = f" and {len(damage) - 1} more" * (len(damage) > 1)
            raise UserError(
                f"prepared data must stay as it was written; {folder} is "
                f"damaged: {damage[0]}{more}; to repair it, run python -m "
                "attngan_tf.prepare with the same flags"
            )
        if damage or not os.path.lexists(folder):
            _write(builder, damage, beam)
        else:
            scratch.remove_left(os.path.dirname(folder), *_TEMPORARY)
        return Report.load(folder)


def _write(builder: CaptionedImages, damage: list[str], beam) -> None:
    """Prepares what is not there, or is damaged."""
    parent = os.path.dirname(builder.data_dir)
    try:
        with scratch.writer(parent, *_TEMPORARY):
            if damage:
                _repair(builder, damage, beam)
            else:
                _run(builder, beam)
    except FaultsError as error:
        for fault in error.faults:
            print(f"fault: {fault}", file=sys.stderr)
        raise
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            os.rmdir(parent)


def _damage(builder: CaptionedImages) -> list[str]:
    found = checksums.damage(builder.data_dir)
    if not found and not builder.info.initialized:
        found = ["dataset_info.json: this version of TFDS cannot read it"]
    return found


@contextlib.contextmanager
def _writable(folder: str) -> Iterator[None]:
    """Turns the errors of a folder that cannot be written into one line."""
    try:
        yield
    except OSError as error:
        raise UserError(
            "--prepared_dir must be a folder with space to write to; received "
            f"{folder}: {error.strerror or error}"
        ) from None


def _repair(builder: CaptionedImages, damage: list[str], beam) -> None:
    """Prepares the data beside the damaged folder, then replaces that."""
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
            _run(fresh, beam)
            _replace(folder, fresh.data_dir, os.path.join(home, "damaged"))
    except BaseException:
        print(f"the damaged data was not changed: {folder}", file=sys.stderr)
        raise
    builder.info.read_from_directory(folder)


def _replace(folder: str, fresh: str, aside: str) -> None:
    """Renames a folder to `aside`, and `fresh` to its name."""
    os.rename(folder, aside)
    try:
        os.rename(fresh, folder)
    except OSError:
        os.rename(aside, folder)
        raise
    if os.path.isdir(aside):
        # What was added later, such as features of the real images.
        for name in set(os.listdir(aside)) - set(os.listdir(folder)):
            os.rename(os.path.join(aside, name), os.path.join(folder, name))


def _run(builder: CaptionedImages, beam) -> None:
    settings = tfds.download.DownloadConfig(
        try_download_gcs=False, beam_options=beam
    )
    try:
        with _quiet():
            builder.download_and_prepare(download_config=settings)
    except OSError:
        # Another process may have been first: TFDS then cannot rename.
        if not os.path.isdir(builder.data_dir):
            raise
    except RuntimeError as error:
        failed = _NOT_WRITTEN.search(str(error))
        if failed is None:
            raise
        raise OSError(failed[1]) from None
    builder.info.read_from_directory(builder.data_dir)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TFDS's messages, and Pillow's warnings about images."""
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
