"""A user's own data: images, text files of captions, and two lists."""

import collections
import os
from collections.abc import Iterable

from attngan_tf.data.files import listing, missing
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
        parts = ("images", "text", *LISTS.values())
        if lacking := missing(source, parts):
            raise UserError(
                "--data_dir of --dataset=folder must hold images/, text/, "
                f"train.txt and test.txt; {source} lacks {', '.join(lacking)}"
            )
        return listing(source, parts)

    def entries(self, findings: Findings) -> dict[str, list[Entry]]:
        source = self.builder_config.source
        min_count = self.builder_config.captions_per_image
        paths = _image_paths(self.files(source))
        names = {
            split: [
                name
                for number, name in read_lines(source, file, findings)
                if check_name(name, f"{file} line {number}", findings)
            ]
            for split, file in LISTS.items()
        }
        class_ids = _class_ids([*names["train"], *names["test"]])
        for name in sorted(set(paths) - set(class_ids)):
            findings.note("images in no list", paths[name][0])
        found = {"train": [], "test": []}
        for split, entries in found.items():
            for name in names[split]:
                captions = read_captions(
                    source, f"text/{name}.txt", min_count, findings
                )
                files = paths.get(name, [])
                if len(files) != 1:
                    findings.fault(
                        f"images/{name}.*",
                        "must be one .jpg, .jpeg, .png or .webp (lists hold "
                        "names without extension); found "
                        f"{' and '.join(files) or 'none'}",
                    )
                    continue
                image = os.path.join(source, files[0])
                entries.append(
                    Entry(name, files[0], image, captions, class_ids[name])
                )
        return found


def _image_paths(files: Iterable[str]) -> dict[str, list[str]]:
    """{name: its image files}."""
    paths = collections.defaultdict(list)
    for path in sorted(files):
        stem, ending = os.path.splitext(path)
        if path.startswith("images/") and ending.lower() in ENDINGS:
            paths[stem.removeprefix("images/")].append(path)
    return paths


def _class_ids(names: list[str]) -> dict[str, int]:
    """Class ids by name: indices of sorted classes, then one per other name."""
    classes = sorted({os.path.dirname(name) for name in names} - {""})
    ids = {label: number for number, label in enumerate(classes)}
    return {
        # No folder's name begins with a slash.
        name: ids.setdefault(os.path.dirname(name) or f"/{name}", len(ids))
        for name in names
    }
