"""COCO 2014 captions: an unpacked folder, or TFDS's coco_captions."""

import collections
import glob
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from attngan_tf.config import UserError
from attngan_tf.data.raw import (
    Entry,
    Findings,
    RawPictures,
    check_splits,
    keep_captions,
    listing,
)
from attngan_tf.data.records import Report

_YEARS = {"train": "train2014", "test": "val2014"}
_TFDS_SPLITS = {"train": ("train",), "test": ("val", "test", "restval")}
# Beside the folder itself, where a version of coco_captions may lie below it.
_TFDS_VERSIONS = ("", "*", "2014/*", "coco_captions/2014/*")


class Coco(RawPictures):
    """COCO 2014: train2014 to train on, val2014 to test on.

    All 40,504 pictures of val2014 are kept; the released code used 40,470 of
    them. There are no classes: every picture is one of its own.
    """

    name = "attngan_coco"
    DESCRIPTION = "COCO 2014, five captions a picture; all of val2014 is test."
    CAPTIONS_PER_IMAGE = 5

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """See `RawPictures`."""
        prepared = _find_prepared(source)
        if prepared:
            return listing(source, [os.path.relpath(prepared, source)])
        paths = []
        for year in _YEARS.values():
            paths += [_annotations(year), _pictures(source, year)]
        missing = [
            path
            for path in paths
            if not os.path.exists(os.path.join(source, path))
        ]
        if missing:
            raise UserError(
                "--data_dir of --dataset=coco must hold "
                "annotations/captions_{train,val}2014.json, train2014/ and "
                "val2014/, or TFDS's coco_captions/2014 (made by: tfds build "
                f"coco_captions --data_dir=DIR); {source} lacks "
                f"{', '.join(missing)}"
            )
        return listing(source, paths)

    def entries(self, findings: Findings) -> dict[str, Iterable[Entry]]:
        """See `RawPictures`."""
        source = self.builder_config.source
        least = self.builder_config.captions_per_image
        prepared = _find_prepared(source)
        if prepared:
            return _prepared_entries(prepared, least, findings)
        found, ids = {}, itertools.count()
        for split, year in _YEARS.items():
            folder = _pictures(source, year)
            found[split] = []
            for file, places in _read_annotations(source, year, findings):
                path = f"{folder}/{file}"
                entry = Entry(
                    name=os.path.splitext(file)[0],
                    where=path,
                    read=pathlib.Path(source, path).read_bytes,
                    captions=keep_captions(places, path, least, findings),
                    class_id=next(ids),
                )
                found[split].append(entry)
        names = {split: [e.name for e in found[split]] for split in found}
        lists = {split: _annotations(year) for split, year in _YEARS.items()}
        check_splits(names, lists, findings)
        listed = {entry.where for part in found.values() for entry in part}
        for path in sorted(set(self.files(source)) - listed):
            if not path.startswith("annotations"):
                findings.note("pictures in no list", path)
        return found


def _annotations(year: str) -> str:
    return f"annotations/captions_{year}.json"


def _pictures(source: str, year: str) -> str:
    """train2014 or, as others unpack it, images/train2014."""
    inner = f"images/{year}"
    return inner if os.path.isdir(os.path.join(source, inner)) else year


def _read_annotations(
    source: str, year: str, findings: Findings
) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each picture: file name, and (place, caption) of its captions."""
    where = _annotations(year)
    files, captions = {}, collections.defaultdict(list)
    try:
        with open(os.path.join(source, where), encoding="utf-8") as file:
            content = json.load(file)
        for image in content["images"]:
            if image["id"] in files:
                findings.fault(where, f"image {image['id']} must stand once")
            files[image["id"]] = os.path.basename(image["file_name"])
        for annotation in content["annotations"]:
            place = f"{where} annotation {annotation['id']}"
            caption = " ".join(annotation["caption"].split())
            if annotation["image_id"] not in files:
                findings.fault(
                    place,
                    "must be of a listed image; found image_id "
                    f"{annotation['image_id']}",
                )
            captions[annotation["image_id"]].append((place, caption))
    except OSError as error:
        findings.fault(where, f"must be a file to read; {error.strerror}")
    except UnicodeDecodeError as error:
        findings.fault(where, f"must be UTF-8; {error}")
    except ValueError as error:
        findings.fault(where, f"must be JSON; {error}")
    except (KeyError, TypeError, AttributeError) as error:
        findings.fault(
            where,
            "must hold images with id and file_name, and annotations with "
            f"id, image_id and caption; found another form ({error!r})",
        )
    return [(name, captions[number]) for number, name in files.items()]


def _find_prepared(source: str) -> str | None:
    """The newest version of TFDS's coco_captions at or below a folder."""
    for version in _TFDS_VERSIONS:
        pattern = os.path.join(
            glob.escape(source), version, "dataset_info.json"
        )
        for path in sorted(glob.glob(pattern), reverse=True):
            try:
                with open(path, encoding="utf-8") as file:
                    name = json.load(file)["name"]
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise UserError(
                    f"{path} must be a description that TFDS wrote; it cannot "
                    f"be read ({error}); prepare coco_captions again"
                ) from None
            if name == "coco_captions":
                return os.path.dirname(path)
    return None


class _PreparedEntries:
    """Entries read from TFDS records, each time they are iterated."""

    def __init__(self, builder, splits, first_id, least, findings: Findings):
        self._builder = builder
        self._splits = splits
        self._first_id = first_id
        self._least = least
        self._findings = findings

    def __iter__(self) -> Iterator[Entry]:
        ids = itertools.count(self._first_id)
        for split in self._splits:
            try:
                records = self._builder.as_dataset(
                    split=split,
                    decoders={"image": tfds.decode.SkipDecoding()},
                )
                for record in records.as_numpy_iterator():
                    yield self._entry(split, record, next(ids))
            except (tf.errors.OpError, NotImplementedError) as error:
                # NotImplementedError: a format without a tf.data reader.
                reason = (str(error) or type(error).__name__).splitlines()[0]
                self._findings.fault(
                    f"coco_captions {split}",
                    f"must be whole TFRecords; {reason}",
                )
        self._findings = Findings(Report())  # say everything only once

    def _entry(self, split: str, record: dict, class_id: int) -> Entry:
        file = record["image/filename"].decode()
        where = f"coco_captions {split} {file}"
        captions = [
            (where, " ".join(text.decode("utf-8", "replace").split()))
            for text in record["captions"]["text"]
        ]
        image = record["image"]
        return Entry(
            name=os.path.splitext(file)[0],
            where=where,
            read=lambda: image,
            captions=keep_captions(
                captions, where, self._least, self._findings
            ),
            class_id=class_id,
        )


def _prepared_entries(
    folder: str, least: int, findings: Findings
) -> dict[str, Iterable[Entry]]:
    builder = tfds.builder_from_directory(folder)
    entries, first_id = {}, 0
    for split, parts in _TFDS_SPLITS.items():
        missing = sorted(set(parts) - set(builder.info.splits))
        for part in missing:
            findings.fault(folder, f"must have a split {part}; found none")
        parts = [part for part in parts if part not in missing]
        entries[split] = _PreparedEntries(
            builder, parts, first_id, least, findings
        )
        first_id += sum(builder.info.splits[p].num_examples for p in parts)
    return entries
