"""Reports full and unwritable disks in one line; allocates large files."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.errors import UserError


@contextlib.contextmanager
def writing(what: str, path: str, retained: str = "") -> Iterator[None]:
    """Turns file errors in the block into a UserError.

    Args:
      what: describes what is written.
      path: where it is written.
      retained: describes what is not lost.

    Raises:
      UserError: the operating system or TensorFlow could not write a file.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        retained = f"{retained}; " if retained else ""
        raise UserError(
            f"{what} must be written to {path}, which failed: {reason}; "
            f"{retained}free disk space, or fix the permissions, and run the "
            "same command again"
        ) from error


def _reason(error: Exception) -> str | None:
    """The message of a file error; None for errors of other kinds."""
    if isinstance(error, UserError):
        return None
    if isinstance(error, OSError):
        named = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{named}"
    if isinstance(error, tf.errors.OpError):
        return error.message.splitlines()[0]
    return None


def new_array(path: str, dtype, shape: Sequence[int]) -> np.memmap:
    """A new .npy file of zeros, mapped into memory, with its space allocated.

    Without allocation, a full disk ends the process (SIGBUS) in a later write.

    Raises:
      OSError: the disk is full; no file is left.
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
