"""The layouts of a user's own data: readers that yield its images.

`find` chooses the reader for a folder.
"""

import collections
import functools
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from attngan_tf.data import metadata
from attngan_tf.data.files import listing, missing
from attngan_tf.data.findings import (
    Findings,
    check_captions,
    check_name,
    read_captions,
    read_lines,
)
from attngan_tf.data.images import ENDINGS
from attngan_tf.errors import UserError
from attngan_tf.io.text import one_of

LISTS = {"train": "train.txt", "test": "test.txt"}
_METADATA = ("metadata.csv", "metadata.jsonl")
_TEST_FOLDERS = ("test", "validation")  # the first that exists is used


class Item(NamedTuple):
    """An image and its captions.

    Attributes:
      name: unique in the data set.
      path: of the image file, relative to the folder.
      captions: one or more.
      label: the name of its class; "" without one.
      split: train or test; "" if the layout has no split.
    """

    name: str
    path: str
    captions: list[str]
    label: str
    split: str = ""


class Layout:
    """Base class of readers.

    Args:
      source: the folder.
      files: the files that are read, as `listing` returns them.
      captions: where the captions are, for messages.
      images: {name: paths of image files}.

    Attributes:
      split: what gives the split, for messages; "" if nothing does.
      single_class: whether a folder that holds all images is a class.
    """

    single_class = False

    def __init__(
        self,
        source: str,
        files: Mapping[str, tuple[int, int]],
        captions: str,
        images: Mapping[str, list[str]],
    ):
        self.source = source
        self.files = files
        self.captions = captions
        self.images = images
        tops = {name.split("/")[0] for name in images if "/" in name}
        tests = [folder for folder in _TEST_FOLDERS if folder in tops]
        self._splits = {}  # by folder
        if "train" in tops and tests:
            self._splits = {"train": "train", tests[0]: "test"}
        self.split = " and ".join(f"{folder}/" for folder in self._splits)

    def items(self, min_count: int, findings: Findings) -> Iterator[Item]:
        """The images that have captions, those of a split in order.

        Faults are added to `findings`, and what is left out as notes.

        Args:
          min_count: minimum number of an image's captions.
          findings: receives faults and notes.
        """
        for item in self._read(min_count, findings):
            top, _, below = item.name.partition("/")
            if not self._splits:
                yield item
            elif top in self._splits:
                label = os.path.dirname(below)
                yield item._replace(label=label, split=self._splits[top])
            else:
                findings.note("images in no split", item.path)

    def _read(self, min_count: int, findings: Findings) -> Iterator[Item]:
        """The items; the folders train/ and test/ count as classes."""
        raise NotImplementedError

    def _hint(self, name: str) -> str:
        """Suggests the image whose last part is that of a name."""
        meant = self._by_last_part.get(_last_part(name))
        return f"; is {meant} meant?" if meant else ""

    @functools.cached_property
    def _by_last_part(self) -> dict[str, str]:
        return {_last_part(x): paths[0] for x, paths in self.images.items()}


class TextFiles(Layout):
    """x.txt holds the captions of x.jpg, one per line.

    Args:
      source: the folder.
      files: the files that are read.
      captions: where the captions are, for messages.
      images: folder of the images, with a slash at its end; "": `source`.
      text: folder of the captions.
    """

    def __init__(
        self,
        source: str,
        files: Mapping[str, tuple[int, int]],
        captions: str,
        images: str = "",
        text: str = "",
    ):
        super().__init__(
            source, files, captions, _by_name(files, images, ENDINGS)
        )
        self._text = text
        self._texts = _by_name(files, text, (".txt",))

    def _read(self, min_count: int, findings: Findings) -> Iterator[Item]:
        for name, paths in self.images.items():
            if name in self._texts:
                yield self._item(name, min_count, findings)
            else:
                findings.note("images without captions", paths[0])
        for name, paths in self._texts.items():
            if name not in self.images:
                findings.note("text files without an image", paths[0])

    def _item(self, name: str, min_count: int, findings: Findings) -> Item:
        images = self.images[name]
        texts = self._texts.get(name, [f"{self._text}{name}.txt"])
        for files in (images, texts):
            if len(files) > 1:
                findings.fault(
                    f"{os.path.splitext(files[0])[0]}.*",
                    f"must be one file; found {' and '.join(files)}",
                )
        captions = read_captions(self.source, texts[0], min_count, findings)
        return Item(name, images[0], captions, os.path.dirname(name))


class Lists(TextFiles):
    """images/, text/, and the names of each split in train.txt and test.txt.

    A name is a path below images/, with or without its ending.
    """

    single_class = True

    def __init__(self, source: str, files: Mapping[str, tuple[int, int]]):
        super().__init__(source, files, "text/", "images/", "text/")
        self._splits = {}
        self.split = " and ".join(LISTS.values())

    def _read(self, min_count: int, findings: Findings) -> Iterator[Item]:
        listed = [
            (name, split)
            for split, file in LISTS.items()
            for name in self._names(file, findings)
        ]
        for name in sorted(set(self.images) - {name for name, _ in listed}):
            findings.note("images in no list", self.images[name][0])
        for name, split in listed:
            if name in self.images:
                item = self._item(name, min_count, findings)
                yield item._replace(split=split)
            else:
                findings.fault(
                    f"images/{name}.*",
                    f"must be a {one_of(ENDINGS)}; found none"
                    + self._hint(name),
                )

    def _names(self, file: str, findings: Findings) -> list[str]:
        """The names in a list."""
        lines = read_lines(self.source, file, findings)
        names = [(i, _plain_name(line, self.images)) for i, line in lines]
        return [
            name
            for i, name in names
            if check_name(name, f"{file} line {i}", findings)
        ]


class Metadata(Layout):
    """metadata.csv or metadata.jsonl: file_name and text in each row.

    As in Hugging Face's imagefolder, file_name is relative to the folder of
    the metadata. For several captions, an image has several rows or, in JSON,
    a list.
    """

    def __init__(self, source: str, files: Mapping[str, tuple[int, int]]):
        self._metadata = sorted(
            path for path in files if os.path.basename(path) in _METADATA
        )
        images = {
            _composed(path): [path]
            for path in sorted(files)
            if _ending(path) in ENDINGS
        }
        super().__init__(source, files, " and ".join(self._metadata), images)

    def _read(self, min_count: int, findings: Findings) -> Iterator[Item]:
        captions = collections.defaultdict(list)
        for file in self._metadata:
            rows = metadata.rows(self.source, file, findings)
            for where, path, texts in rows:
                name = _composed(path)
                if name in self.images:
                    captions[name] += [(where, text) for text in texts]
                elif check_name(name, where, findings):
                    findings.fault(
                        where,
                        f"must name a {one_of(ENDINGS)}; there is no {name}"
                        + self._hint(name),
                    )
        for name, (path,) in self.images.items():
            if name in captions:
                texts = check_captions(
                    captions[name], path, min_count, findings
                )
                yield Item(name, path, texts, os.path.dirname(name))
            else:
                findings.note("images without captions", path)


def find(source: str) -> Layout:
    """The reader for a folder.

    Raises:
      UserError: the folder has no layout, a part of one, or several.
    """
    parts = ["images", "text", *LISTS.values()]
    named = [part for part in parts[1:] if not missing(source, [part])]
    files = listing(source, [*parts, *_METADATA] if named else [""])
    if named in ([], ["text"]):  # no list
        parts = parts[:2]
        files = {path: files[path] for path in files if _is_read(path)}
    found = [" and ".join(named), *_metadata(files), _beside(source, files)]
    found = [evidence for evidence in found if evidence]
    if not found:
        images = sum(_ending(path) in ENDINGS for path in files)
        raise UserError(
            "--data_dir of --dataset=folder must hold captions, in text/ (of "
            "the images in images/), in metadata.csv or metadata.jsonl, or in "
            f"x.txt beside x.jpg; {source} has {images} images and none "
            "of these"
        )
    if len(found) > 1:
        raise UserError(
            "--data_dir of --dataset=folder must have one layout of captions; "
            f"{source} has {', and '.join(found)}; move all but one elsewhere"
        )
    if named and (lacking := missing(source, parts)):
        raise UserError(
            f"--data_dir of --dataset=folder, with {found[0]}, must hold "
            f"{', '.join(parts)}; {source} lacks {', '.join(lacking)}"
        )
    if len(parts) > 2:
        return Lists(source, files)
    if named:
        return TextFiles(source, files, "text/", "images/", "text/")
    if _metadata(files):
        return Metadata(source, files)
    return TextFiles(source, files, "x.txt beside x.jpg")


def _is_read(path: str) -> bool:
    """Whether a folder without lists may need a file; not if it is hidden."""
    name = os.path.basename(path)
    known = name in _METADATA or _ending(name) in (*ENDINGS, ".txt")
    return known and not path.startswith(".") and "/." not in path


def _metadata(files: Collection[str]) -> list[str]:
    """The first metadata file of each kind."""
    return [
        min(paths)
        for name in _METADATA
        if (paths := [p for p in files if os.path.basename(p) == name])
    ]


def _beside(source: str, files: Iterable[str]) -> str:
    """The first text file with the name of an image beside it; or ""."""
    folders = (os.path.join(source, part) for part in ("images", "text"))
    if len(set(map(os.path.realpath, folders))) == 1:  # links to one folder
        return ""
    images, texts = (_by_name(files, "", x) for x in (ENDINGS, (".txt",)))
    both = (
        f"{texts[x][0]} beside {images[x][0]}" for x in images if x in texts
    )
    return next(both, "")


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _composed(text: str) -> str:
    """Text in Unicode's composed form: macOS decomposes names of files."""
    return unicodedata.normalize("NFC", text)


def _by_name(
    files: Iterable[str], folder: str, endings: Collection[str]
) -> dict[str, list[str]]:
    """{name: its files below `folder`}; a name has no ending."""
    paths = collections.defaultdict(list)
    for path in sorted(files):
        stem, _ = os.path.splitext(path)
        if path.startswith(folder) and _ending(path) in endings:
            paths[_composed(stem.removeprefix(folder))].append(path)
    return dict(paths)


def _plain_name(line: str, known: Collection[str]) -> str:
    r"""The name in a line of a list, such as ./a/b, images/a/b.jpg or a\b."""
    name = _composed(line)
    if name in known:
        return name
    name = name.replace("\\", "/").removeprefix("./").removeprefix("images/")
    stem, _ = os.path.splitext(name)
    return stem if _ending(name) in ENDINGS and name not in known else name


def _last_part(name: str) -> str:
    """The part without folders, in lower case."""
    return os.path.basename(name).lower()
