"""The files of CUB-200-2011 and of the captions and splits made for it."""

import errno
import itertools
import math
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from attngan_tf.data import pickles
from attngan_tf.data.entries import Box
from attngan_tf.data.files import check_file
from attngan_tf.data.raw import Findings, check_name, check_splits, read_lines
from attngan_tf.errors import UserError

_FOLDER = "CUB_200_2011"
_ARCHIVES = (f"{_FOLDER}.tgz", f"{_FOLDER}.tar.gz")
_SEARCH = ("", _FOLDER, "birds", f"birds/{_FOLDER}", "cvpr2016_cub")
_PICKLES = {
    "train": "train/filenames.pickle",
    "test": "test/filenames.pickle",
}
_CLASS_IDS = {
    "train": "train/class_info.pickle",
    "test": "test/class_info.pickle",
}
_CLASS_LISTS = {"train": "trainvalclasses.txt", "test": "testclasses.txt"}
_PARTS = ("images.txt", "bounding_boxes.txt", "images")
_WANTED = [[part] for part in _PARTS]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_MOST_DIGITS = 9  # of a class's number; records hold 64 bits


class Places(NamedTuple):
    """Where things lie below `home`.

    `birds` is the folder of images.txt, or the archive that holds it; `split`
    has a pickle of names or a list of classes for train and for test, and
    `class_ids` the pickles that go with the former, where there are any.
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
        return [
            *birds,
            self.text,
            *self.split.values(),
            *self.class_ids.values(),
        ]


def locate(source: str) -> Places:
    """Finds everything in a folder, or beside an archive.

    Raises:
      UserError: pictures, captions or the split are not there.
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

    listed = None if archive else find("images.txt")
    archive = archive or find(*_ARCHIVES)
    text = find("text", "text_c10")
    split = _find_each(find, _PICKLES) or _find_each(find, _CLASS_LISTS)
    _check_found(home, listed or archive, text, split)
    return Places(
        home=home,
        birds=archive if listed is None else os.path.dirname(listed),
        packed=listed is None,
        text=text,
        split=split,
        class_ids=_find_each(find, _CLASS_IDS),
    )


def _find_each(find, names: Mapping[str, str]) -> dict[str, str]:
    """The paths for train and for test, or nothing."""
    paths = {split: find(name) for split, name in names.items()}
    return paths if all(paths.values()) else {}


def _check_found(home: str, birds, text, split) -> None:
    missing = []
    if birds is None:
        missing.append(f"{_FOLDER}/ or {_ARCHIVES[0]} as downloaded")
    if text is None:
        missing.append(
            "the captions of Reed et al. (2016), text/<class>/<picture>.txt or "
            f"the same in text_c10/, beside or in {_FOLDER}/"
        )
    if not split:
        missing.append(
            "the split into 150 and 50 classes: "
            f"{_PICKLES['train']} and {_PICKLES['test']} as released with "
            f"AttnGAN, or {_CLASS_LISTS['train']} and {_CLASS_LISTS['test']} "
            "as released by Reed et al. (2016)"
        )
    if missing:
        raise UserError(
            f"--data_dir of --dataset=cub must hold {'; and '.join(missing)}; "
            f"found none in {home}"
        )


def extract(archive: str, folder: str) -> str:
    """Unpacks what is needed of CUB_200_2011.tgz; returns CUB_200_2011.

    Raises:
      UserError: the archive is damaged.
      OSError: there is no room in the folder.
    """
    try:
        check_file(archive)
        with tarfile.open(archive, "r|*") as members:
            for member in members:
                path = os.path.normpath(member.name)
                parts = path.split(os.sep)
                wanted = parts[0] == _FOLDER and parts[1:2] in _WANTED
                if member.isfile() and wanted:
                    target = os.path.join(folder, path)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, "wb") as file:
                        shutil.copyfileobj(members.extractfile(member), file)
    # ValueError: a name with a zero byte.
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as e:
        if getattr(e, "errno", None) in _NO_ROOM:
            raise
        reason = getattr(e, "strerror", None) or e
        raise UserError(
            f"{archive} must be a whole archive; reading it gave: {reason}; "
            "download it again"
        ) from None
    return os.path.join(folder, _FOLDER)


def read_boxes(birds: str, findings: Findings) -> dict[str, Box]:
    """The pictures of images.txt: {name: x, y, width, height in pixels}."""
    names, listed = {}, set()
    for place, number, (path,) in _rows(birds, "images.txt", 1, findings):
        name = os.path.splitext(path)[0]
        if not check_name(name, place, findings):
            continue
        if number in names or name in listed:
            findings.fault(place, f"a picture must stand once; found {path}")
        names.setdefault(number, name)
        listed.add(name)
    boxes = {}
    for place, number, box in _rows(birds, "bounding_boxes.txt", 4, findings):
        name = names.get(number)
        if name is None or name in boxes:
            findings.fault(
                place, f"must be a picture's only box; found number {number}"
            )
            continue
        try:
            boxes[name] = tuple(float(word) for word in box)
            finite = all(map(math.isfinite, boxes[name]))
        except ValueError:
            finite = False
        if not finite:
            findings.fault(place, f"must be numbers; found {' '.join(box)}")
            boxes[name] = (0.0, 0.0, 2.0, 2.0)  # to look for further faults
    for name in sorted(listed - set(boxes)):
        findings.fault("bounding_boxes.txt", f"must hold a box for {name}")
    return boxes


def _rows(
    birds: str, file: str, columns: int, findings: Findings
) -> Iterator[tuple[str, str, list[str]]]:
    """Place, number and the other columns of each line."""
    for line_number, line in read_lines(
        os.path.join(birds, file), file, findings
    ):
        place, (number, *words) = f"{file} line {line_number}", line.split()
        if len(words) != columns:
            findings.fault(
                place, f"must have {columns + 1} columns; found {line!r}"
            )
            continue
        yield place, number, words


def read_splits(
    places: Places, boxes: Mapping[str, Box], findings: Findings
) -> dict[str, dict[str, int]]:
    """{split: {name: class id}} of the pictures that can be used."""
    splits = {}
    for split, path in places.split.items():
        if path.endswith(".pickle"):
            ids = _read_pickles(places, split, findings)
        else:
            ids = _read_classes(places, path, boxes, findings)
        for name in sorted(set(ids) - set(boxes)):
            findings.fault(
                path, f"must name pictures of images.txt; found {name}"
            )
        splits[split] = {name: ids[name] for name in ids if name in boxes}
    check_splits(splits, places.split, findings)
    used = set(splits["train"]) | set(splits["test"])
    for name in sorted(set(boxes) - used):
        findings.note("pictures in no split", name)
    _check_classes(splits, findings)
    return splits


def _read_pickles(
    places: Places, split: str, findings: Findings
) -> dict[str, int]:
    path = places.split[split]
    try:
        names = pickles.load_names(os.path.join(places.home, path))
        class_ids = [_leading_number(name) for name in names]
        if split in places.class_ids:
            path = places.class_ids[split]
            class_ids = pickles.load_class_ids(
                os.path.join(places.home, path), len(names)
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
            findings.fault(path, f"a name must stand once; found {name} twice")
        ids[name] = class_id
    return ids


def _read_classes(
    places: Places, path: str, boxes: Mapping[str, Box], findings: Findings
) -> dict[str, int]:
    lines = read_lines(os.path.join(places.home, path), path, findings)
    classes = {line for _, line in lines}
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
    valid = number.isdecimal() and len(number) <= _MOST_DIGITS
    return int(number) if valid else None


def _check_classes(
    splits: Mapping[str, Mapping[str, int | None]], findings: Findings
) -> None:
    """A folder must be of one class."""
    first = {}
    for name, class_id in itertools.chain(
        *(s.items() for s in splits.values())
    ):
        known = first.setdefault(os.path.dirname(name), class_id)
        if class_id is None:
            findings.fault(
                name,
                "a name must begin with its class's number, as in "
                "002.Laysan_Albatross",
            )
        elif known != class_id:
            findings.fault(
                name,
                "pictures of a folder must be of one class; found "
                f"{known} and {class_id}",
            )
