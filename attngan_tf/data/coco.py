"""COCO 2014 captions: an unpacked folder, or TFDS's coco_captions."""

import collections
import glob
import itertools
import json
import os
from collections.abc import Iterable, Iterator

import tensorflow as tf

from attngan_tf.data.entries import Entry
from attngan_tf.data.files import listing, read_file
from attngan_tf.data.findings import Findings, check_captions, check_splits
from attngan_tf.data.raw import RawImages
from attngan_tf.data.records import Report
from attngan_tf.errors import UserError

_FORMS = {
    "images": {"id": int, "file_name": str},
    "annotations": {"id": int, "image_id": int, "caption": str},
}
_YEARS = {"train": "train2014", "test": "val2014"}
_TFDS_SPLITS = {"train": ("train",), "test": ("val", "test", "restval")}
# The folder of coco_captions itself, or one above it.
_TFDS_FOLDERS = ("", "*", "2014/*", "coco_captions/2014/*")
_TFDS_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "image/filename": tf.io.FixedLenFeature([], tf.string),
    "captions/text": tf.io.RaggedFeature(tf.string),
}


class Coco(RawImages):
    """COCO 2014: train2014 to train on, val2014 to test on.

    The test split has all 40,504 images of val2014; the released code used
    40,470 of them. There are no classes: every image has its own class id.
    """

    name = "attngan_coco"
    DESCRIPTION = "COCO 2014, five captions an image; all of val2014 is test."
    CAPTIONS_PER_IMAGE = 5

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """See `RawImages`."""
        prepared = _find_tfds(source)
        if prepared:
            return listing(source, [os.path.relpath(prepared, source)])
        paths = []
        for year in _YEARS.values():
            paths += [_annotations(year), _images(source, year)]
        missing = [
            path
            for path in paths
            if not os.path.exists(os.path.join(source, path))
        ]
        if missing:
            raise UserError(
                "--data_dir of --dataset=coco must hold "
                "annotations/captions_{train,val}2014.json, train2014/ and "
                "val2014/, or TFDS's coco_captions/2014 as TFRecords (made by: "
                f"tfds build coco_captions --data_dir=DIR); {source} lacks "
                f"{', '.join(missing)}"
            )
        return listing(source, paths)

    def entries(self, findings: Findings) -> dict[str, Iterable[Entry]]:
        """See `RawImages`."""
        source = self.builder_config.source
        min_count = self.builder_config.captions_per_image
        prepared = _find_tfds(source)
        if prepared:
            return _tfds_entries(prepared, min_count, findings)
        found, ids = {}, itertools.count()
        for split, year in _YEARS.items():
            folder = _images(source, year)
            found[split] = []
            for file, captions in _read_annotations(source, year, findings):
                path = f"{folder}/{file}"
                entry = Entry(
                    name=os.path.splitext(file)[0],
                    where=path,
                    source=os.path.join(source, path),
                    captions=check_captions(
                        captions, path, min_count, findings
                    ),
                    class_id=next(ids),
                )
                found[split].append(entry)
        names = {split: [e.name for e in found[split]] for split in found}
        lists = {split: _annotations(year) for split, year in _YEARS.items()}
        check_splits(names, lists, findings)
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
    content = _read_json(source, where, findings)
    for image in _items(content, "images", where, findings):
        if image["id"] in files:
            findings.fault(where, f"image {image['id']} must be listed once")
        files[image["id"]] = os.path.basename(image["file_name"])
    for annotation in _items(content, "annotations", where, findings):
        location = f"{where} annotation {annotation['id']}"
        number = annotation["image_id"]
        if number not in files:
            findings.fault(
                location, f"must be of a listed image; found image_id {number}"
            )
        caption = " ".join(annotation["caption"].split())
        # JSON can hold half a surrogate pair, UTF-8 cannot.
        caption = caption.encode("utf-8", "replace").decode()
        captions[number].append((location, caption))
    return [(name, captions[number]) for number, name in files.items()]


def _read_json(source: str, where: str, findings: Findings) -> dict:
    """The lists of images and annotations; empty if a fault was added."""
    try:
        content = json.loads(read_file(os.path.join(source, where)).decode())
    except OSError as error:
        findings.fault(where, f"must be a file to read; {error.strerror}")
    except UnicodeDecodeError as error:
        findings.fault(where, f"must be UTF-8; {error}")
    except (ValueError, RecursionError) as error:
        findings.fault(where, f"must be JSON; {error}")
    else:
        if isinstance(content, dict) and all(
            isinstance(content.get(part), list) for part in _FORMS
        ):
            return content
        findings.fault(where, "must hold lists of images and annotations")
    return dict.fromkeys(_FORMS, ())


def _items(
    content: dict, part: str, where: str, findings: Findings
) -> Iterator[dict]:
    """The images or annotations of a file; others are faults."""
    for number, item in enumerate(content[part]):
        wrong = [
            name
            for name, kind in _FORMS[part].items()
            if not isinstance(item, dict) or type(item.get(name)) is not kind
        ]
        if not wrong:
            yield item
            continue
        findings.fault(
            f"{where} {part}[{number}]",
            "must have id and image_id as whole numbers, file_name and "
            f"caption as texts; found another form of {', '.join(wrong)}",
        )


def _tfds_files(folder: str, split: str) -> list[str]:
    name = f"coco_captions-{split}.tfrecord-?????-of-?????"
    return sorted(glob.glob(os.path.join(glob.escape(folder), name)))


def _find_tfds(source: str) -> str | None:
    """The newest version of TFDS's coco_captions at or below a folder."""
    for pattern in _TFDS_FOLDERS:
        found = glob.glob(os.path.join(glob.escape(source), pattern))
        for folder in sorted(found, reverse=True):
            if _tfds_files(folder, "train"):
                return folder
    return None


def _tfds_entries(
    folder: str, min_count: int, findings: Findings
) -> dict[str, Iterable[Entry]]:
    for part in itertools.chain(*_TFDS_SPLITS.values()):
        files = _tfds_files(folder, part)
        wanted = int(files[0].rsplit("-", 1)[1]) if files else 1
        if len(files) != wanted:
            findings.fault(
                folder,
                f"must have {wanted} files of the split {part}; found "
                f"{len(files) or 'none'}",
            )
    train = _TfdsEntries(folder, "train", min_count, findings, None)
    test = _TfdsEntries(folder, "test", min_count, findings, train)
    return {"train": train, "test": test}


class _TfdsEntries:
    """The entries of a split, read from TFDS's records when iterated.

    Class ids continue those of `before`, which is iterated first.
    """

    def __init__(self, folder, split, min_count, findings, before):
        self._folder, self._split = folder, split
        self._min_count = min_count
        self._findings = findings
        self._before = before
        self._count = 0

    def __iter__(self) -> Iterator[Entry]:
        ids = itertools.count(self._before._count if self._before else 0)
        for part in _TFDS_SPLITS[self._split]:
            # In the order in which TFDS reads: class ids depend on it.
            records = tf.data.Dataset.from_tensor_slices(
                tf.constant(_tfds_files(self._folder, part), tf.string)
            ).interleave(
                tf.data.TFRecordDataset,
                cycle_length=16,
                block_length=16,
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            try:
                for record in records:
                    yield self._entry(part, record, next(ids))
            except tf.errors.OpError as error:
                self._findings.fault(
                    f"coco_captions {part}",
                    f"must be whole TFRecords; {error.message.splitlines()[0]}",
                )
        self._count = next(ids)
        # The second time, all notes were taken already.
        self._findings = Findings(Report())

    def _entry(self, part: str, record: tf.Tensor, class_id: int) -> Entry:
        parsed = tf.io.parse_single_example(record, _TFDS_FEATURES)
        file = parsed["image/filename"].numpy().decode()
        where = f"coco_captions {part} {file}"
        captions = [
            (where, " ".join(text.decode("utf-8", "replace").split()))
            for text in parsed["captions/text"].numpy()
        ]
        return Entry(
            name=os.path.splitext(file)[0],
            where=where,
            source=parsed["image"].numpy(),
            captions=check_captions(
                captions, where, self._min_count, self._findings
            ),
            class_id=class_id,
        )
