"""COCO with hostile JSON."""

import json
import pathlib
from collections.abc import Iterator

from .cases import Case, write
from .drawn import noise, saved

JSON = "must be JSON; "
FORM = "found another form of "
DEEP = 100000
YEARS = ("train2014", "val2014")
FILES = (("one", "two"), ("three", "four"))


def contents() -> Iterator[tuple[str, bytes, str | None]]:
    """Hostile files of annotations: kind, bytes, fault."""
    yield "deep lists", b"[" * DEEP + b"]" * DEEP, JSON
    yield "deep dicts", b'{"images":' * DEEP + b"1" + b"}" * DEEP, JSON
    yield "empty", b"", JSON
    yield "cut", _whole()[:-9], JSON
    yield "UTF-16", _whole().decode().encode("utf-16"), "must be UTF-8; "
    yield "Latin-1", _whole().replace(b"bird", b"v\xf6gel"), "must be UTF-8; "
    yield (
        "number of 5,000 digits",
        _changed(images={"id": 0}).replace(b'"id": 0', b'"id": ' + b"9" * 5000),
        JSON,
    )
    for root in (b"[]", b"null", b"NaN"):
        yield f"root {root.decode()}", root, FORM
    for value in (None, 7, []):
        yield f"image {value!r}", _changed(images=value), FORM
    for value in ("1", None, True, float("nan"), float("inf")):
        yield f"id {value!r}", _changed(images={"id": value}), FORM
    for value in (None, ["a bird"], float("nan")):
        content = _changed(annotations={"caption": value})
        yield f"caption {value!r}", content, FORM
    named = {
        "\0.jpg": "no file can have this name",
        "\ud83d.jpg": "no file can have this name",
        "": "Is a directory",
        "..": "Is a directory",
        "a/b/..": "Is a directory",
        "n" * 5000: "File name too long",
        "\x1b[31m\n.jpg": "No such file or directory",
    }
    for file, fault in named.items():
        content = _changed(images={"file_name": file})
        yield f"file {file[:9]!r}", content, f"cannot be read: .*{fault}"
    yield (
        "path outside",
        _changed(images={"file_name": "../../../../one.jpg"}),
        None,
    )
    yield (
        "more than asked for",
        _changed(
            images={"area": float("nan"), "x": [[[]]] * 99, "big": 10**99}
        ),
        None,
    )


def _whole(year: int = 0) -> bytes:
    first = 10 * year
    return json.dumps(
        {
            "images": [
                {"id": first + i, "file_name": f"{name}.jpg"}
                for i, name in enumerate(FILES[year])
            ],
            "annotations": [
                {
                    "id": first + i,
                    "image_id": first + i % 2,
                    "caption": "a bird",
                }
                for i in range(10)
            ],
        }
    ).encode()


def _changed(**parts) -> bytes:
    """Annotations, the first image or annotation changed."""
    content = json.loads(_whole())
    for part, change in parts.items():
        if isinstance(change, dict):
            content[part][0] |= change
        else:
            content[part][0] = change
    return json.dumps(content).encode()


def make(root: pathlib.Path) -> list[Case]:
    """A COCO for each two files: one for train, and one for val."""
    cases = []
    for number, (kind, content, fault) in enumerate(contents()):
        folder, year = root / f"coco{number // 2}", number % 2
        if year == 0:
            _make_coco(folder)
        where = f"annotations/captions_{YEARS[year]}.json"
        # As `contents` names the pictures of train.
        for mine, other in zip(FILES[year], FILES[0], strict=True):
            content = content.replace(
                f'"{other}.jpg'.encode(), f'"{mine}.jpg'.encode()
            )
            content = content.replace(
                f"../{other}.jpg".encode(), f"../{mine}.jpg".encode()
            )
        write(folder / where, content)
        place = where
        if fault and fault.startswith("cannot be read"):
            place = f"{YEARS[year]}/"
        cases.append(Case(f"JSON: {kind}", folder.name, place, fault))
    return cases


def _make_coco(root: pathlib.Path) -> None:
    """A small COCO that is whole."""
    for year, names in zip(YEARS, FILES, strict=True):
        where = root / f"annotations/captions_{year}.json"
        write(where, _whole(YEARS.index(year)))
        for name in names:
            write(root / year / f"{name}.jpg", saved(noise(), "JPEG"))
