"""COCO 2014 captions: an unpacked folder, or TFDS's coco_captions."""

import collections
import glob
import itertools
import json
import os
from collections.abc import Iterable, Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from attngan_tf.data.entries import Entry
from attngan_tf.data.files import listing, read_file
from attngan_tf.data.raw import (
    Findings,
    RawPictures,
    check_splits,
    keep_captions,
)
from attngan_tf.data.records import Report
from attngan_tf.errors import UserError

_FORMS = {
    "images": {"id": int, "file_name": str},
    "annotations": {"id": int, "image_id": int, "caption": str},
}
_YEARS = {"train": "train2014", "test": "val2014"}
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError)
# Of TFDS's features.json, in its forms since 2021; keys of a proto in JSON
# may be written both ways.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")
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
                    source=os.path.join(source, path),
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
    content = _read_json(source, where, findings)
    for image in _entries(content, "images", where, findings):
        if image["id"] in files:
            findings.fault(where, f"image {image['id']} must stand once")
        files[image["id"]] = os.path.basename(image["file_name"])
    for annotation in _entries(content, "annotations", where, findings):
        place = f"{where} annotation {annotation['id']}"
        number = annotation["image_id"]
        if number not in files:
            findings.fault(
                place, f"must be of a listed image; found image_id {number}"
            )
        caption = " ".join(annotation["caption"].split())
        captions[number].append((place, caption))
    return [(name, captions[number]) for number, name in files.items()]


def _read_json(source: str, where: str, findings: Findings) -> dict:
    """The lists of images and of annotations; empty where it is no JSON."""
    try:
        content = json.loads(read_file(os.path.join(source, where)).decode())
    except OSError as error:
        findings.fault(where, f"must be a file to read; {error.strerror}")
    except UnicodeDecodeError as error:
        findings.fault(where, f"must be UTF-8; {error}")
    except (ValueError, RecursionError) as error:
        findings.fault(where, f"must be JSON; {error}")
    else:
        return _lists(content, where, findings)
    return dict.fromkeys(_FORMS, ())


def _lists(content: object, where: str, findings: Findings) -> dict:
    """What a file must hold; what is no list is a fault."""
    found = content if isinstance(content, dict) else {}
    wrong = [part for part in _FORMS if not isinstance(found.get(part), list)]
    if wrong:
        findings.fault(
            where,
            "must hold lists of images and annotations; found another form of "
            f"{' and '.join(wrong)}",
        )
    return {part: () if part in wrong else found[part] for part in _FORMS}


def _entries(
    content: dict, part: str, where: str, findings: Findings
) -> Iterator[dict]:
    """The images or annotations of a file; those of a wrong form are faults."""
    for number, entry in enumerate(content[part]):
        wrong = [
            name
            for name, kind in _FORMS[part].items()
            if not isinstance(entry, dict) or type(entry.get(name)) is not kind
        ]
        if wrong:
            findings.fault(
                f"{where} {part}[{number}]",
                "must have id and image_id as whole numbers, file_name and "
                f"caption as texts; found another form of {', '.join(wrong)}",
            )
        else:
            yield entry


def _find_prepared(source: str) -> str | None:
    """The newest version of TFDS's coco_captions at or below a folder."""
    for version in _TFDS_VERSIONS:
        pattern = os.path.join(
            glob.escape(source), version, "dataset_info.json"
        )
        for path in sorted(glob.glob(pattern), reverse=True):
            folder = os.path.dirname(path)
            try:
                name = json.loads(read_file(path).decode())["name"]
            except _UNREADABLE as error:
                raise _not_tfds(path, error) from None
            if name == "coco_captions":
                return folder
    return None


def _not_tfds(path: str, error: Exception) -> UserError:
    return UserError(
        f"{path} must be a description that TFDS wrote; it cannot be read "
        f"({error}); prepare coco_captions again"
    )


def _open_prepared(folder: str) -> tfds.core.DatasetBuilder:
    """Opens TFDS's data; its features must be TFDS's own.

    TFDS imports the module of whatever class features.json names.
    """
    path = os.path.join(folder, "features.json")
    try:
        features = json.loads(read_file(path).decode())
        others = sorted(_classes(features))
    except _UNREADABLE as error:
        raise _not_tfds(path, error) from None
    if others:
        raise UserError(
            f"{path} must name features of tensorflow_datasets; received "
            f"{', '.join(others)}; prepare coco_captions again"
        )
    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # TFDS's errors have no common base
        raise _not_tfds(folder, error) from None


def _classes(value: object) -> Iterator[str]:
    """Names of classes that are not TFDS's, anywhere in features.json."""
    if isinstance(value, list):
        for item in value:
            yield from _classes(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            named = key in _CLASS_KEYS and isinstance(item, str)
            if named and not item.startswith("tensorflow_datasets.core."):
                yield item
            if key == "json" and isinstance(item, str):
                item = json.loads(item)
            yield from _classes(item)


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
        return Entry(
            name=os.path.splitext(file)[0],
            where=where,
            source=record["image"],
            captions=keep_captions(
                captions, where, self._least, self._findings
            ),
            class_id=class_id,
        )


def _prepared_entries(
    folder: str, least: int, findings: Findings
) -> dict[str, Iterable[Entry]]:
    builder = _open_prepared(folder)
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
