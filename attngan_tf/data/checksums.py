"""Checksums of a prepared data set's files, to detect damage."""

import concurrent.futures
import hashlib
import os
from collections.abc import Callable, Sequence

from tqdm import tqdm

FILE = "SHA256SUMS"  # in the folder; `sha256sum -c SHA256SUMS` reads it, too
_CHANGED = "not as it was written"


def write(folder: str) -> None:
    """Writes the checksums of a folder's files, then that of their list."""
    names = sorted(os.listdir(folder))
    digests = _each(lambda name: _digest(os.path.join(folder, name)), names)
    lines = "".join(
        f"{digest}  {name}\n"
        for name, digest in zip(names, digests, strict=True)
    )
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as file:
        file.write(lines + _own_line(lines))


def damage(folder: str) -> list[str]:
    """A line for each file that differs from what was written.

    All files are read; files that were added later are ignored.
    """
    path = os.path.join(folder, FILE)
    try:
        with open(
            path, encoding="utf-8", errors="replace", newline="\n"
        ) as file:
            *listed, last = file.readlines() or [""]
    except OSError as error:
        return [f"{FILE}: {error.strerror}"]
    if last != _own_line("".join(listed)):
        return [f"{FILE}: {_CHANGED}"]
    digests = dict(line.rstrip("\n").split("  ", 1)[::-1] for line in listed)

    def difference(name: str) -> str:
        try:
            same = _digest(os.path.join(folder, name)) == digests[name]
        except OSError as error:
            return f"{name}: {error.strerror}"
        return "" if same else f"{name}: {_CHANGED}"

    return [line for line in _each(difference, list(digests)) if line]


def _own_line(lines: str) -> str:
    return f"# {hashlib.sha256(lines.encode()).hexdigest()}\n"


def _digest(path: str) -> str:
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            total.update(block)
    return total.hexdigest()


def _each(function: Callable[[str], str], names: Sequence[str]) -> list[str]:
    """Calls the function in threads; a progress bar appears after 5 s."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(function, names)
        return list(tqdm(found, "Verifying", len(names), delay=5))
