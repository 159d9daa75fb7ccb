"""A user's own data: images, text files of captions, and two lists."""

import collections
import os
import unicodedata
from collections.abc import Collection, Iterable

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

    Lists hold names, one per line: paths below images/, with or without their
    ending. A name's folder is its class; an image without a folder has a class
    of its own.
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
        files = self.files(self.builder_config.source)
        images = _by_name(files, "images/", ENDINGS)
        texts = _by_name(files, "text/", (".txt",))
        names = {
            split: self._names(file, images, findings)
            for split, file in LISTS.items()
        }
        class_ids = _class_ids([*names["train"], *names["test"]])
        for name in sorted(set(images) - set(class_ids)):
            findings.note("images in no list", images[name][0])
        alike = {_last_part(name): paths[0] for name, paths in images.items()}
        for name in class_ids:
            if name not in images:
                hint = alike.get(_last_part(name))
                findings.fault(
                    f"images/{name}.*",
                    "must be a .jpg, .jpeg, .png or .webp; found none"
                    + (f"; is {hint} meant?" if hint else ""),
                )
        return {
            split: [
                self._entry(name, images, texts, class_ids[name], findings)
                for name in listed
                if name in images
            ]
            for split, listed in names.items()
        }

    def _names(
        self, file: str, known: Collection[str], findings: Findings
    ) -> list[str]:
        """The names in a list."""
        lines = read_lines(self.builder_config.source, file, findings)
        names = [(number, _plain_name(line, known)) for number, line in lines]
        return [
            name
            for number, name in names
            if check_name(name, f"{file} line {number}", findings)
        ]

    def _entry(
        self,
        name: str,
        images: dict[str, list[str]],
        texts: dict[str, list[str]],
        class_id: int,
        findings: Findings,
    ) -> Entry:
        """The image and the captions of a name."""
        found = images[name]
        written = texts.get(name, [f"text/{name}.txt"])
        for kind, files in (("images", found), ("text", written)):
            if len(files) > 1:
                findings.fault(
                    f"{kind}/{name}.*",
                    f"must be one file; found {' and '.join(files)}",
                )
        source = self.builder_config.source
        captions = read_captions(
            source,
            written[0],
            self.builder_config.captions_per_image,
            findings,
        )
        path = os.path.join(source, found[0])
        return Entry(name, found[0], path, captions, class_id)


def _composed(text: str) -> str:
    """Text in Unicode's composed form: macOS decomposes names of files."""
    return unicodedata.normalize("NFC", text)


def _by_name(
    files: Iterable[str], folder: str, endings: tuple[str, ...]
) -> dict[str, list[str]]:
    """{name: its files below `folder`}; a name has no ending."""
    paths = collections.defaultdict(list)
    for path in sorted(files):
        stem, ending = os.path.splitext(path)
        if path.startswith(folder) and ending.lower() in endings:
            paths[_composed(stem.removeprefix(folder))].append(path)
    return dict(paths)


def _plain_name(line: str, known: Collection[str]) -> str:
    r"""The name in a line of a list, such as ./a/b, images/a/b.jpg or a\b."""
    name = _composed(line)
    if name in known:
        return name
    name = name.replace("\\", "/").removeprefix("./").removeprefix("images/")
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in ENDINGS and name not in known else name


def _last_part(name: str) -> str:
    """The part without folders, in lower case, to suggest a similar name."""
    return os.path.basename(name).lower()


def _class_ids(names: list[str]) -> dict[str, int]:
    """Class ids by name: indices of sorted classes, then one per other name."""
    classes = sorted({os.path.dirname(name) for name in names} - {""})
    ids = {label: number for number, label in enumerate(classes)}
    return {
        # No folder's name begins with a slash.
        name: ids.setdefault(os.path.dirname(name) or f"/{name}", len(ids))
        for name in names
    }
