"""Anybody's own data: pictures, text files of captions, and two lists."""

import collections
import os

from attngan_tf.data.entries import Entry
from attngan_tf.data.files import listing
from attngan_tf.data.raw import (
    Findings,
    RawPictures,
    check_name,
    check_splits,
    read_captions,
    read_lines,
)
from attngan_tf.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
LISTS = {"train": "train.txt", "test": "test.txt"}


class Folder(RawPictures):
    """`images/<name>.jpg`, `text/<name>.txt`, `train.txt` and `test.txt`.

    Lists hold names without ending, one a line. A name's folder is its class;
    a picture without one is a class of its own.
    """

    name = "attngan_folder"
    DESCRIPTION = "Pictures with captions from a folder of files."

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """See `RawPictures`."""
        parts = ("images", "text", *LISTS.values())
        missing = [
            part
            for part in parts
            if not os.path.exists(os.path.join(source, part))
        ]
        if missing:
            raise UserError(
                "--data_dir of --dataset=folder must hold images/, text/, "
                f"train.txt and test.txt; {source} lacks {', '.join(missing)}"
            )
        return listing(source, parts)

    def entries(self, findings: Findings) -> dict[str, list[Entry]]:
        """See `RawPictures`."""
        source = self.builder_config.source
        pictures = _pictures(self.files(source))
        names = {
            split: read_names(source, file, findings)
            for split, file in LISTS.items()
        }
        check_splits(names, LISTS, findings)
        listed = set().union(*names.values())
        for name in sorted(set(pictures) - listed):
            findings.note("pictures in no list", pictures[name][0])
        class_ids = _class_ids(names)
        found = {"train": [], "test": []}
        for split in found:
            for name in dict.fromkeys(names[split]):
                captions = self._captions_of(name, findings)
                path = _picture_of(name, pictures, findings)
                if path is not None:
                    picture = os.path.join(source, path)
                    entry = Entry(
                        name, path, picture, captions, class_ids[name]
                    )
                    found[split].append(entry)
        _note_fewer_captions(found, findings)
        return found

    def _captions_of(self, name: str, findings: Findings) -> list[str]:
        where = f"text/{name}.txt"
        return read_captions(
            os.path.join(self.builder_config.source, where),
            where,
            self.builder_config.captions_per_image,
            findings,
        )


def _note_fewer_captions(
    entries: dict[str, list[Entry]], findings: Findings
) -> None:
    """How many there should be is not known here, but a difference is told."""
    every = [entry for listed in entries.values() for entry in listed]
    counts = collections.Counter(len(entry.captions) for entry in every)
    usual = max(counts, key=counts.get, default=0)
    for entry in every:
        if 0 < len(entry.captions) < usual:
            findings.note(f"fewer than the usual {usual} captions", entry.name)


def read_names(source: str, file: str, findings: Findings) -> list[str]:
    """The names in a list; a name that stands there twice is a fault."""
    faults = len(findings.faults)
    first = {}
    for number, name in read_lines(os.path.join(source, file), file, findings):
        place = f"{file} line {number}"
        if not check_name(name, place, findings):
            continue
        if name in first:
            findings.fault(
                place,
                f"a name must stand once; {name} stands in line "
                f"{first[name]}, too",
            )
        first.setdefault(name, number)
    if not first and len(findings.faults) == faults:
        findings.fault(file, "must name pictures, one a line; found none")
    return list(first)


def _pictures(files: dict) -> dict[str, list[str]]:
    """{name: its picture files}."""
    pictures = collections.defaultdict(list)
    for path in sorted(files):
        stem, ending = os.path.splitext(path)
        if path.startswith("images" + os.sep) and ending.lower() in ENDINGS:
            name = os.path.relpath(stem, "images").replace(os.sep, "/")
            pictures[name].append(path)
    return dict(pictures)


def _picture_of(
    name: str, pictures: dict[str, list[str]], findings: Findings
) -> str | None:
    paths = pictures.get(name, [])
    if len(paths) == 1:
        return paths[0]
    if paths:
        findings.fault(
            name, f"a name must have one picture; found {' and '.join(paths)}"
        )
        return None
    hint = ""
    if os.path.splitext(name)[0] in pictures:
        hint = "; write names without ending"
    findings.fault(
        f"images/{name}.*", f"a .jpg, .jpeg, .png or .webp must be there{hint}"
    )
    return None


def _class_ids(names: dict[str, list[str]]) -> dict[str, int]:
    """Index of the sorted class; own ids after them where there is none."""
    listed = list(dict.fromkeys([*names["train"], *names["test"]]))
    classes = sorted({os.path.dirname(name) for name in listed} - {""})
    ids = {label: number for number, label in enumerate(classes)}
    found = {}
    for name in listed:
        label = os.path.dirname(name) or f"/{name}"  # no folder is so named
        found[name] = ids.setdefault(label, len(ids))
    return found
