"""All hostile files."""

import pathlib

from . import annotations, folders, pickled
from .cases import Case


def make(root: pathlib.Path) -> list[Case]:
    """Writes every hostile file below a folder that is not there yet."""
    root.mkdir(parents=True)
    return [
        *folders.make(root),
        *folders.make_lists(root),
        *pickled.make(root),
        *annotations.make(root),
    ]
