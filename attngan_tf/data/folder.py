"""A user's own data: images, text files of captions, and two lists."""

import collections
import os
from collections.abc import Iterable

from attngan_tf.data.files import listing
from attngan_tf.data.findings import (
    Findings,
    check_name,
    read_captions,
    read_lines,
)
from attngan_tf.data.raw import Entry, RawImages
from attngan_tf.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
LISTS = {"train": "train.txt", "test": "test.txt"}


class Folder(RawImages):
    """`images/<name>.jpg`, `text/<name>.txt`, `train.txt` and `test.txt`.

    Lists hold names without extension, one per line. A name's folder is its
    class; an image without a folder has a class of its own.
    """

    name = "attngan_folder"
    DESCRIPTION = "Images with captions from a folder of files."

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """See `RawImages`."""
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
        """See `RawImages`."""
        source = self.builder_config.source
        min_count = self.builder_config.captions_per_image
        paths = _image_paths(self.files(source))
        names = {
            split: _read_names(source, file, findings)
            for split, file in LISTS.items()
        }
        listed = [*names["train"], *names["test"]]
        for name in sorted(set(paths) - set(listed)):
            findings.note("images in no list", paths[name][0])
        class_ids = _class_ids(listed)
        found = {"train": [], "test": []}
        for split, entries in found.items():
            for name in names[split]:
                captions = read_captions(
                    source, f"text/{name}.txt", min_count, findings
                )
                path = _image_of(name, paths, findings)
                if path is not None:
                    image = os.path.join(source, path)
                    entries.append(
                        Entry(name, path, image, captions, class_ids[name])
                    )
        _note_missing_captions([*found["train"], *found["test"]], findings)
        return found


def _note_missing_captions(entries: list[Entry], findings: Findings) -> None:
    """Notes images that have fewer captions than the most frequent number."""
    counts = collections.Counter(len(entry.captions) for entry in entries)
    usual = max(counts, key=counts.get, default=0)
    for entry in entries:
        if 0 < len(entry.captions) < usual:
            findings.note(f"fewer than the usual {usual} captions", entry.name)


def _read_names(source: str, file: str, findings: Findings) -> list[str]:
    """The names in a list."""
    faults = len(findings.faults)
    names = [
        name
        for number, name in read_lines(source, file, findings)
        if check_name(name, f"{file} line {number}", findings)
    ]
    if not names and len(findings.faults) == faults:
        findings.fault(file, "must name images, one per line; found none")
    return names


def _image_paths(files: Iterable[str]) -> dict[str, list[str]]:
    """{name: its image files}."""
    paths = collections.defaultdict(list)
    for path in sorted(files):
        stem, ending = os.path.splitext(path)
        if path.startswith("images/") and ending.lower() in ENDINGS:
            paths[stem.removeprefix("images/")].append(path)
    return paths


def _image_of(
    name: str, paths: dict[str, list[str]], findings: Findings
) -> str | None:
    found = paths.get(name, [])
    if len(found) == 1:
        return found[0]
    if found:
        findings.fault(
            name, f"a name must have one image; found {' and '.join(found)}"
        )
        return None
    hint = ""
    if os.path.splitext(name)[0] in paths:
        hint = "; write names without extension"
    findings.fault(
        f"images/{name}.*", f"a .jpg, .jpeg, .png or .webp must be there{hint}"
    )
    return None


def _class_ids(names: list[str]) -> dict[str, int]:
    """Class ids by name: indices of sorted classes, then one per other name."""
    classes = sorted({os.path.dirname(name) for name in names} - {""})
    ids = {label: number for number, label in enumerate(classes)}
    return {
        # No folder's name begins with a slash.
        name: ids.setdefault(os.path.dirname(name) or f"/{name}", len(ids))
        for name in names
    }
