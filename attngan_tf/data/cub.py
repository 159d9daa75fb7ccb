"""CUB-200-2011 with the captions of Reed et al. (2016)."""

import errno
import math
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from attngan_tf.data import pickles
from attngan_tf.data.files import listing
from attngan_tf.data.findings import (
    Findings,
    check_name,
    read_captions,
    read_lines,
)
from attngan_tf.data.raw import Box, Entry, RawImages
from attngan_tf.errors import UserError

_FOLDER = "CUB_200_2011"
_ARCHIVES = (f"{_FOLDER}.tgz", f"{_FOLDER}.tar.gz")
_SEARCH = ("", _FOLDER, "birds", f"birds/{_FOLDER}", "cvpr2016_cub")
_NAMES = {s: f"{s}/filenames.pickle" for s in ("train", "test")}
_CLASS_IDS = {s: f"{s}/class_info.pickle" for s in ("train", "test")}
_CLASS_LISTS = {"train": "trainvalclasses.txt", "test": "testclasses.txt"}
_PARTS = ("images.txt", "bounding_boxes.txt", "images")
_REQUIRED = (
    f"{_FOLDER}/ or {_ARCHIVES[0]} as downloaded",
    "the captions of Reed et al. (2016), text/<class>/<image>.txt or the same "
    f"in text_c10/, beside or in {_FOLDER}/",
    f"the split into 150 and 50 classes: {_NAMES['train']} and "
    f"{_NAMES['test']} as released with AttnGAN, or {_CLASS_LISTS['train']} "
    f"and {_CLASS_LISTS['test']} as released by Reed et al. (2016)",
)


class Cub(RawImages):
    """CUB-200-2011 as downloaded (folder or .tgz), and `text/` or `text_c10/`.

    The split is the released one, in `train/` and `test/filenames.pickle`, or
    that of Reed et al. by classes, in `trainvalclasses.txt` and
    `testclasses.txt`. The bytes of images are stored unchanged, with a crop
    for reading them: a square around the bird (see `raw.crop_around`).
    """

    name = "attngan_cub"
    DESCRIPTION = "CUB-200-2011, ten captions an image, cropped to the bird."
    CAPTIONS_PER_IMAGE = 10

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        layout = locate(source)
        return listing(layout.home, layout.read())

    def entries(self, findings: Findings) -> dict[str, list[Entry]]:
        layout = locate(self.builder_config.source)
        birds = os.path.join(layout.home, layout.birds)
        if os.path.isfile(birds):
            # In the temporary folder in which TFDS prepares the data.
            folder = os.path.join(self.data_dir_root, "unpacked")
            birds = _extract(birds, folder)
        boxes = _read_boxes(birds, findings)
        splits = _read_splits(layout, boxes, findings)
        min_count = self.builder_config.captions_per_image

        def entry(name: str, class_id: int) -> Entry:
            text, path = f"{layout.text}/{name}.txt", f"images/{name}.jpg"
            captions = read_captions(layout.home, text, min_count, findings)
            source = os.path.join(birds, path)
            return Entry(name, path, source, captions, class_id, boxes[name])

        return {
            split: [entry(*item) for item in listed if item[0] in boxes]
            for split, listed in splits.items()
        }


class Layout(NamedTuple):
    """Paths of the data set's parts.

    Attributes:
      home: the folder that the other paths are relative to.
      birds: the folder of images.txt, or the archive that contains it.
      text: the folder of the captions.
      split: for train and test, a pickle of names or a list of classes.
      class_ids: for train and test, a pickle of class ids; {} without them.
    """

    home: str
    birds: str
    text: str
    split: dict[str, str]
    class_ids: dict[str, str]

    def read(self) -> list[str]:
        """All files and folders that are read."""
        birds = [self.birds]
        if not os.path.isfile(os.path.join(self.home, self.birds)):
            birds = [os.path.join(self.birds, part) for part in _PARTS]
        lists = [*self.split.values(), *self.class_ids.values()]
        return [*birds, self.text, *lists]


def locate(source: str) -> Layout:
    """Finds the parts of the data set in a folder, or beside an archive.

    Raises:
      UserError: images, captions or the split are missing.
    """
    home, search, archive = source, _SEARCH, None
    if os.path.isfile(source):
        home, archive = os.path.split(source)
    elif os.path.exists(os.path.join(source, "images.txt")):
        home, folder = os.path.split(source)  # CUB_200_2011 itself
        search = (folder, "")

    def find(*names: str) -> str | None:
        paths = [os.path.join(p, name) for p in search for name in names]
        found = (p for p in paths if os.path.exists(os.path.join(home, p)))
        return next(found, None)

    def find_both(names: Mapping[str, str]) -> dict[str, str]:
        paths = {split: find(name) for split, name in names.items()}
        return paths if all(paths.values()) else {}

    listed = None if archive else find("images.txt")
    birds = os.path.dirname(listed) if listed else archive or find(*_ARCHIVES)
    text = find("text", "text_c10")
    split = find_both(_NAMES) or find_both(_CLASS_LISTS)
    found = (birds is not None, text, split)
    missing = [m for m, f in zip(_REQUIRED, found, strict=True) if not f]
    if missing:
        raise UserError(
            f"--data_dir of --dataset=cub must hold {'; and '.join(missing)}; "
            f"found none in {home}"
        )
    return Layout(home, birds, text, split, find_both(_CLASS_IDS))


def _extract(archive: str, folder: str) -> str:
    """Unpacks what is needed of CUB_200_2011.tgz; returns CUB_200_2011.

    Raises:
      UserError: the archive is damaged.
      OSError: there is no space in the folder.
    """
    try:
        with tarfile.open(archive, "r|*") as members:
            for member in members:
                path = os.path.normpath(member.name)
                top, *parts = path.split(os.sep)
                wanted = top == _FOLDER and parts and parts[0] in _PARTS
                if member.isfile() and wanted:
                    target = os.path.join(folder, path)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, "wb") as file:
                        shutil.copyfileobj(members.extractfile(member), file)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        failed = getattr(error, "filename", None)
        if failed not in (None, archive) or error.args[:1] == (errno.ENOSPC,):
            raise  # writing failed
        raise UserError(
            f"{archive} must be a complete archive; reading it failed: "
            f"{error}; download it again"
        ) from None
    return os.path.join(folder, _FOLDER)


def _read_boxes(birds: str, findings: Findings) -> dict[str, Box]:
    """The images of images.txt: {name: x, y, width, height in pixels}."""
    file, boxes = "bounding_boxes.txt", {}
    rows = _read_table(birds, file, findings)
    for number, words in _read_table(birds, "images.txt", findings).items():
        name = os.path.splitext(" ".join(words))[0]
        if not check_name(name, f"images.txt {number}", findings):
            continue
        words = rows.get(number, [])
        try:
            box = tuple(map(float, words))
        except ValueError:
            box = ()
        if len(box) == 4 and all(map(math.isfinite, box)):
            boxes[name] = box
        else:
            findings.fault(
                file,
                f"must hold 4 numbers for image {number}; found "
                f"{' '.join(words) or 'none'}",
            )
    return boxes


def _read_table(
    birds: str, file: str, findings: Findings
) -> dict[str, list[str]]:
    """The first column of each line, and the others."""
    rows = (line.split() for _, line in read_lines(birds, file, findings))
    return {number: words for number, *words in rows}


def _read_splits(
    layout: Layout, boxes: Mapping[str, Box], findings: Findings
) -> dict[str, list[tuple[str, int]]]:
    """Name and class id of each split's images."""
    splits, used = {}, set()
    for split, path in layout.split.items():
        if path.endswith(".pickle"):
            splits[split] = _read_pickles(layout, split, findings)
        else:
            splits[split] = _read_classes(layout, path, boxes, findings)
        names = {name for name, _ in splits[split]}
        used |= names
        for name in sorted(names - set(boxes)):
            findings.fault(path, f"must name images with a box; found {name}")
    for name in sorted(set(boxes) - used):
        findings.note("images in no split", name)
    return splits


def _read_pickles(
    layout: Layout, split: str, findings: Findings
) -> list[tuple[str, int]]:
    path = layout.split[split]
    try:
        names = pickles.load_names(os.path.join(layout.home, path))
        if split not in layout.class_ids:
            return [(name, _class_id(name, findings)) for name in names]
        path = layout.class_ids[split]
        class_ids = pickles.load_class_ids(
            os.path.join(layout.home, path), len(names)
        )
    except pickles.PickleError as error:
        findings.fault(path, str(error))
        return []
    return list(zip(names, class_ids, strict=True))


def _read_classes(
    layout: Layout, path: str, boxes: Mapping[str, Box], findings: Findings
) -> list[tuple[str, int]]:
    classes = {line for _, line in read_lines(layout.home, path, findings)}
    known = {os.path.dirname(name) for name in boxes}
    for name in sorted(classes - known):
        findings.fault(path, f"must name classes of images.txt; found {name}")
    return [
        (name, _class_id(name, findings))
        for name in boxes
        if os.path.dirname(name) in classes
    ]


def _class_id(name: str, findings: Findings) -> int:
    """2 for 002.Laysan_Albatross/Laysan_Albatross_0002_1027."""
    number = name.split(".")[0]
    if number.isdecimal():
        return int(number)
    findings.fault(
        name,
        "must begin with the number of its class, as in 002.Laysan_Albatross",
    )
    return 0
