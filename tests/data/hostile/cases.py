"""What a hostile file is, and what is to become of it."""

import pathlib
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """A hostile file.

    kind: what is hostile about it; data_set: the folder that holds it; place:
    how the line of a fault begins; fault: a pattern in that line, or None
    where the file is as good as any other; name: of its picture; pixels: what
    its picture shows, uint8 [H, W, 3], to within `tolerance`; captions: its
    captions.
    """

    kind: str
    data_set: str
    place: str
    fault: str | None
    name: str = ""
    pixels: np.ndarray | None = None
    tolerance: int = 0
    captions: list[str] | None = None


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes a file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
