"""CUB-200-2011 with the captions of Reed et al. (2016)."""

import errno
import itertools
import math
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from attngan_tf.data import images, pickles
from attngan_tf.data.files import listing
from attngan_tf.data.findings import (
    Findings,
    check_name,
    read_captions,
    read_lines,
)
from attngan_tf.data.raw import Box, Entry, RawImages
from attngan_tf.data.records import Crop
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
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Cub(RawImages):
    """CUB-200-2011 as downloaded (folder or .tgz), and `text/` or `text_c10/`.

    The split is the released one, in `train/` and `test/filenames.pickle`, or
    that of Reed et al. by classes, in `trainvalclasses.txt` and
    `testclasses.txt`. The bytes of images are stored unchanged, with a crop
    for reading them: a square around the bird (see `crop_around`).
    """

    name = "attngan_cub"
    DESCRIPTION = "CUB-200-2011, ten captions an image, cropped to the bird."
    CAPTIONS_PER_IMAGE = 10

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """See `RawImages`."""
        layout = locate(source)
        return listing(layout.home, layout.read())

    def entries(self, findings: Findings) -> dict[str, list[Entry]]:
        """See `RawImages`."""
        layout = locate(self.builder_config.source)
        birds = os.path.join(layout.home, layout.birds)
        if layout.packed:
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
            split: [entry(*item) for item in class_ids.items()]
            for split, class_ids in splits.items()
        }

    def crop_of(
        self, entry: Entry, info: images.ImageInfo, findings: Findings
    ) -> Crop:
        """See `RawImages`."""
        width, height = info.width, info.height
        x, y, w, h = entry.box
        outside = max(-x, -y, x + w - width, y + h - height)
        # Published boxes end up to a pixel beyond the edge: 5 + 496 > 500.
        tolerance = max(2, 0.01 * max(width, height))
        inside = min(
            min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)
        )
        crop = crop_around(entry.box, width, height)
        if inside < 1 or outside > tolerance or min(crop[2:]) < 1:
            findings.fault(
                entry.where,
                f"its bounding box must lie in the {width} x {height} "
                f"image; found x {x:g}, y {y:g}, width {w:g}, height {h:g}",
            )
        elif outside > 0:
            findings.note("bounding boxes cut at the edge", entry.name)
        return crop


def crop_around(box: Box, width: int, height: int) -> Crop:
    """A square around a box, cut off at the edges of the image.

    Its side is 1.5 times the box's longer side. As in the released code, the
    box is first truncated to integers.
    """
    x, y, w, h = (int(number) for number in box)
    radius = int(0.75 * max(w, h))
    center_x, center_y = int((2 * x + w) / 2), int((2 * y + h) / 2)
    left, right = max(0, center_x - radius), min(width, center_x + radius)
    top, bottom = max(0, center_y - radius), min(height, center_y + radius)
    return top, left, bottom - top, right - left


class Layout(NamedTuple):
    """Paths of the data set's parts.

    Attributes:
      home: the folder that the other paths are relative to.
      birds: the folder of images.txt, or the archive that contains it.
      packed: whether `birds` is an archive.
      text: the folder of the captions.
      split: for train and test, a pickle of names or a list of classes.
      class_ids: for train and test, a pickle of class ids; {} without them.
    """

    home: str
    birds: str
    packed: bool
    text: str
    split: dict[str, str]
    class_ids: dict[str, str]

    def read(self) -> list[str]:
        """All files and folders that are read."""
        birds = [self.birds]
        if not self.packed:
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
    archive = archive or find(*_ARCHIVES)
    text = find("text", "text_c10")
    split = find_both(_NAMES) or find_both(_CLASS_LISTS)
    found = (listed or archive, text, split)
    missing = [m for m, f in zip(_REQUIRED, found, strict=True) if not f]
    if missing:
        raise UserError(
            f"--data_dir of --dataset=cub must hold {'; and '.join(missing)}; "
            f"found none in {home}"
        )
    birds = archive if listed is None else os.path.dirname(listed)
    return Layout(
        home, birds, listed is None, text, split, find_both(_CLASS_IDS)
    )


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
    except (tarfile.TarError, EOFError, zlib.error, OSError) as e:
        if getattr(e, "errno", None) in _NO_SPACE:
            raise
        reason = getattr(e, "strerror", None) or e
        raise UserError(
            f"{archive} must be a complete archive; reading it failed: "
            f"{reason}; download it again"
        ) from None
    return os.path.join(folder, _FOLDER)


def _read_boxes(birds: str, findings: Findings) -> dict[str, Box]:
    """The images of images.txt: {name: x, y, width, height in pixels}."""
    names, boxes = {}, {}
    for location, number, (path,) in _rows(birds, "images.txt", 1, findings):
        name = os.path.splitext(path)[0]
        if number in names:
            findings.fault(
                location, f"a number must be used once; found {number}"
            )
        elif check_name(name, location, findings):
            names[number] = name
    file = "bounding_boxes.txt"
    for location, number, words in _rows(birds, file, 4, findings):
        name = names.get(number)
        if name is None or name in boxes:
            findings.fault(
                location, f"must be an image's only box; found number {number}"
            )
            continue
        try:
            box = tuple(float(word) for word in words)
        except ValueError:
            box = ()
        if not box or not all(map(math.isfinite, box)):
            findings.fault(
                location, f"must be numbers; found {' '.join(words)}"
            )
            box = (0.0, 0.0, 2.0, 2.0)  # any valid one, to find further faults
        boxes[name] = box
    for name in sorted(set(names.values()) - set(boxes)):
        findings.fault(file, f"must hold a box for {name}")
    return boxes


def _rows(
    birds: str, file: str, columns: int, findings: Findings
) -> Iterator[tuple[str, str, list[str]]]:
    """Location, number and the other columns of each line."""
    for line_number, line in read_lines(birds, file, findings):
        location, (number, *words) = f"{file} line {line_number}", line.split()
        if len(words) == columns:
            yield location, number, words
        else:
            findings.fault(
                location, f"must have {columns + 1} columns; found {line!r}"
            )


def _read_splits(
    layout: Layout, boxes: Mapping[str, Box], findings: Findings
) -> dict[str, dict[str, int]]:
    """{split: {name: class id}} of the images that can be used."""
    splits = {}
    for split, path in layout.split.items():
        if path.endswith(".pickle"):
            ids = _read_pickles(layout, split, findings)
        else:
            ids = _read_classes(layout, path, boxes, findings)
        for name in sorted(set(ids) - set(boxes)):
            findings.fault(
                path, f"must name images of images.txt; found {name}"
            )
        splits[split] = {name: ids[name] for name in ids if name in boxes}
    used = set(splits["train"]) | set(splits["test"])
    for name in sorted(set(boxes) - used):
        findings.note("images in no split", name)
    both = itertools.chain(splits["train"].items(), splits["test"].items())
    _check_classes(both, findings)
    return splits


def _read_pickles(
    layout: Layout, split: str, findings: Findings
) -> dict[str, int]:
    path = layout.split[split]
    try:
        names = pickles.load_names(os.path.join(layout.home, path))
        class_ids = [_leading_number(name) for name in names]
        if split in layout.class_ids:
            path = layout.class_ids[split]
            class_ids = pickles.load_class_ids(
                os.path.join(layout.home, path), len(names)
            )
    except pickles.PickleError as error:
        findings.fault(path, str(error))
        return {}
    ids = {}
    for name, class_id in zip(names, class_ids, strict=True):
        if name.endswith("\r"):
            findings.note("carriage returns removed", f"{path} {name.strip()}")
        name = name.strip()
        if name in ids:
            findings.fault(path, f"a name must be listed once; found {name}")
        ids[name] = class_id
    return ids


def _read_classes(
    layout: Layout, path: str, boxes: Mapping[str, Box], findings: Findings
) -> dict[str, int]:
    classes = {line for _, line in read_lines(layout.home, path, findings)}
    known = {os.path.dirname(name) for name in boxes}
    for name in sorted(classes - known):
        findings.fault(path, f"must name classes of images.txt; found {name}")
    return {
        name: _leading_number(name)
        for name in boxes
        if os.path.dirname(name) in classes
    }


def _leading_number(name: str) -> int | None:
    """2 for 002.Laysan_Albatross/Laysan_Albatross_0002_1027."""
    number = name.split(".")[0]
    return int(number) if number.isdecimal() else None


def _check_classes(
    class_ids: Iterable[tuple[str, int | None]], findings: Findings
) -> None:
    """Adds a fault where images of one folder have different class ids."""
    known = {}
    for name, class_id in class_ids:
        first = known.setdefault(os.path.dirname(name), class_id)
        if class_id is None:
            problem = "a name must begin with its class's number, as in "
            findings.fault(name, f"{problem}002.Laysan_Albatross")
        elif first != class_id:
            problem = "images of a folder must be of one class; found "
            findings.fault(name, f"{problem}{first} and {class_id}")
