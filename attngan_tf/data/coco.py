"""COCO 2014 captions: an unpacked folder, or TFDS's coco_captions."""

import collections
import dataclasses
import glob
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

from attngan_tf.data.files import listing, missing, read_file
from attngan_tf.data.findings import Findings, check_captions
from attngan_tf.data.raw import Entry, RawImages
from attngan_tf.errors import UserError

_YEARS = {"train": "train2014", "test": "val2014"}
_TFDS_SPLITS = {"train": ("train",), "test": ("val", "test", "restval")}
# The folder of coco_captions itself, or one above it.
_TFDS_FOLDERS = ("", "*", "2014/*", "coco_captions/2014/*")
_TFDS_FILES = "coco_captions-train.tfrecord*"
_TFDS_FEATURES = tfds.decode.PartialDecoding(
    {"image": True, "image/filename": True, "captions": {"text"}},
    decoders={"image": tfds.decode.SkipDecoding()},
)


class Coco(RawImages):
    """COCO 2014: train2014 is the train split, val2014 the test split.

    The released code used 40,470 of the 40,504 images of val2014. There are no
    classes: every image has its own class id.
    """

    name = "attngan_coco"
    DESCRIPTION = "COCO 2014, five captions an image; all of val2014 is test."
    CAPTIONS_PER_IMAGE = 5

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        prepared = _find_tfds(source)
        if prepared:
            return listing(source, [os.path.relpath(prepared, source)])
        paths = []
        for year in _YEARS.values():
            paths += [_annotations(year), _images(source, year)]
        if lacking := missing(source, paths):
            raise UserError(
                "--data_dir of --dataset=coco must hold "
                "annotations/captions_{train,val}2014.json, train2014/ and "
                "val2014/, or TFDS's coco_captions/2014 as TFRecords (made by: "
                f"tfds build coco_captions --data_dir=DIR); {source} lacks "
                f"{', '.join(lacking)}"
            )
        return listing(source, paths)

    def entries(self, findings: Findings) -> dict[str, Iterable[Entry]]:
        source = self.builder_config.source
        min_count = self.builder_config.captions_per_image
        prepared = _find_tfds(source)
        if prepared and self.workers:
            raise UserError(
                "--beam_options is for images in files; received records of "
                f"another data set ({prepared}); leave it out"
            )
        if prepared:
            builder, known = tfds.builder_from_directory(prepared), {}
            return {
                split: _TfdsEntries(builder, parts, min_count, findings, known)
                for split, parts in _TFDS_SPLITS.items()
            }
        found, ids = {}, itertools.count()
        for split, year in _YEARS.items():
            folder = _images(source, year)
            found[split] = []
            for file, captions in _read_annotations(source, year, findings):
                path = f"{folder}/{file}"
                captions = check_captions(captions, path, min_count, findings)
                entry = Entry(
                    name=os.path.splitext(file)[0],
                    where=path,
                    source=os.path.join(source, path),
                    captions=captions,
                    class_id=next(ids),
                )
                found[split].append(entry)
        listed = {entry.where for part in found.values() for entry in part}
        for path in sorted(set(self.files(source)) - listed):
            if not path.startswith("annotations"):
                findings.note("images in no list", path)
        return found


def _annotations(year: str) -> str:
    return f"annotations/captions_{year}.json"


def _images(source: str, year: str) -> str:
    """train2014 or, as some unpack it, images/train2014."""
    inner = f"images/{year}"
    return inner if os.path.isdir(os.path.join(source, inner)) else year


def _read_annotations(
    source: str, year: str, findings: Findings
) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each image: file name, and (location, text) of its captions."""
    where = _annotations(year)
    files, captions = {}, collections.defaultdict(list)
    try:
        content = json.loads(read_file(os.path.join(source, where)))
        for image in content["images"]:
            files[image["id"]] = os.path.basename(image["file_name"])
        for annotation in content["annotations"]:
            location = f"{where} annotation {annotation['id']}"
            caption = " ".join(annotation["caption"].split())
            caption.encode()  # fails for a lone surrogate, valid in JSON
            captions[annotation["image_id"]].append((location, caption))
    except OSError as error:
        findings.fault(where, f"must be a file to read; {error.strerror}")
        return []
    except Exception as error:  # another structure can raise nearly anything
        findings.fault(
            where,
            "must be JSON of images with id and file_name, and annotations "
            "with id, image_id and caption; reading it failed: "
            f"{type(error).__name__}: {error}",
        )
        return []
    return [(name, captions[number]) for number, name in files.items()]


def _find_tfds(source: str) -> str | None:
    """The newest version of TFDS's coco_captions at or below a folder."""
    for pattern in _TFDS_FOLDERS:
        path = os.path.join(glob.escape(source), pattern, "dataset_info.json")
        for file in sorted(glob.glob(path), reverse=True):
            folder = os.path.dirname(file)
            if glob.glob(os.path.join(glob.escape(folder), _TFDS_FILES)):
                return folder
    return None


@dataclasses.dataclass
class _TfdsEntries:
    """Entries of TFDS's records, which each iteration reads again.

    `known` maps locations to entries without images, so that captions are
    checked, and notes recorded, in the first iteration only.
    """

    builder: tfds.core.DatasetBuilder
    parts: Sequence[str]
    min_count: int
    findings: Findings
    known: dict[str, Entry]

    def __iter__(self) -> Iterator[Entry]:
        for part in self.parts:
            records = self.builder.as_dataset(part, decoders=_TFDS_FEATURES)
            try:
                for record in records.as_numpy_iterator():
                    yield self._entry(part, record)
            except tf.errors.OpError as error:
                self.findings.fault(
                    f"coco_captions {part}",
                    "must be complete TFRecords; "
                    f"{error.message.splitlines()[0]}",
                )

    def _entry(self, part: str, record: dict) -> Entry:
        file = record["image/filename"].decode()
        where = f"coco_captions {part} {file}"
        if where not in self.known:
            captions = [
                (where, " ".join(text.decode("utf-8", "replace").split()))
                for text in record["captions"]["text"]
            ]
            captions = check_captions(
                captions, where, self.min_count, self.findings
            )
            name = os.path.splitext(file)[0]
            number = len(self.known)
            self.known[where] = Entry(name, where, b"", captions, number)
        return self.known[where]._replace(source=record["image"])
