"""Data sets by name: where they are read from, and prepared to."""

import contextlib
import io
import os
import sys

import tensorflow_datasets as tfds
from absl import logging

from attngan_tf.config import Config, UserError
from attngan_tf.data.coco import Coco
from attngan_tf.data.cub import Cub
from attngan_tf.data.demo import Demo
from attngan_tf.data.folder import Folder
from attngan_tf.data.raw import FaultsError, RawConfig, config_name
from attngan_tf.data.records import CaptionedPictures, Report

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
        if captions_per_image:
            raise UserError(
                "--captions_per_image is for data in files; received "
                f"{captions_per_image} for --dataset=demo, whose captions are "
                "made; leave it out"
            )
        return Demo(data_dir=prepared_dir)
    builder_class = _READ[dataset]
    source = os.path.abspath(os.path.expanduser(data_dir))
    if not data_dir or not os.path.exists(source):
        raise UserError(
            f"--data_dir must name the raw data of --dataset={dataset}; "
            f"there is nothing at {data_dir!r}"
        )
    least = captions_per_image or builder_class.CAPTIONS_PER_IMAGE
    files = builder_class.files(source)
    config = RawConfig(
        name=config_name(source, files, least),
        source=source,
        captions_per_image=least,
    )
    with _quiet():
        return builder_class(data_dir=prepared_dir, config=config)


def open_configured(config: Config) -> CaptionedPictures:
    """The builder of a configuration's data set; see `open_builder`."""
    return open_builder(
        config.dataset,
        config.data_dir,
        config.prepared_dir,
        config.captions_per_image,
    )


def prepare(builder: CaptionedPictures) -> Report:
    """Writes the prepared data, if it is not there, and says what it holds.

    Every fault of the raw data is printed to stderr, in a line of its own.

    Raises:
      UserError: the raw data has faults, or nothing can be written; nothing
        half-prepared is left.
    """
    try:
        _write(builder)
    except FaultsError as error:
        for fault in error.faults:
            print(f"fault: {fault}", file=sys.stderr)
        raise
    except OSError as error:
        raise UserError(
            "--prepared_dir must be a folder with room to write to; received "
            f"{builder.data_dir_root}: {error.strerror or error}"
        ) from None
    return Report.load(builder.data_dir)


def _write(builder: CaptionedPictures) -> None:
    settings = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        with _quiet():
            builder.download_and_prepare(download_config=settings)
    except OSError:
        # Was another process first? TFDS cannot rename its folder onto that.
        if not os.path.isdir(builder.data_dir):
            raise
        builder.info.read_from_directory(builder.data_dir)
    finally:
        with contextlib.suppress(OSError):  # only if nothing is in it
            os.rmdir(os.path.dirname(builder.data_dir))


@contextlib.contextmanager
def _quiet():
    """Without TFDS's talk of downloads and of unlisted configurations."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()
