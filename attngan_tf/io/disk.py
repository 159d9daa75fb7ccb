"""Disks that are full or cannot be written: one line, and nothing lost."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.errors import UserError


@contextlib.contextmanager
def writing(what: str, path: str, kept: str = "") -> Iterator[None]:
    """Turns what a disk refuses in the block into one line.

    Args:
      what: is written, in words.
      path: where.
      kept: what is not lost, in words.

    Raises:
      UserError: an operating system's or TensorFlow's error of files.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        kept = f"{kept}; " if kept else ""
        raise UserError(
            f"{what} must be written to {path}, which failed: {reason}; {kept}"
            "make room, or mend the permissions, and run the same command "
            "again"
        ) from error


def _reason(error: Exception) -> str | None:
    """What the disk said; None for errors of other kinds."""
    if isinstance(error, UserError):
        return None
    if isinstance(error, OSError):
        named = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{named}"
    if isinstance(error, tf.errors.OpError):
        return error.message.splitlines()[0]
    return None


def new_array(path: str, dtype, shape: Sequence[int]) -> np.memmap:
    """A .npy file of zeros to write to, whose room is taken at once.

    Otherwise a full disk would end the process (SIGBUS) in a later write.

    Raises:
      OSError: there is no room; no file is left.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, tuple(shape))
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(path)
        raise
    return array
