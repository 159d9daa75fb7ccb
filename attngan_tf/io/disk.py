"""Reports full and unwritable disks in one line; allocates large files."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.errors import UserError


@contextlib.contextmanager
def writing(what: str, path: str, retained: str = "") -> Iterator[None]:
    """Turns file errors of the block into a UserError.

    Its text describes what is written to `path`, and what is retained.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if isinstance(error, OSError):
            named = f" ({error.filename})" if error.filename else ""
            reason = f"{error.strerror or error}{named}"
        else:
            reason = error.message.splitlines()[0]
        retained = f"{retained}; " if retained else ""
        raise UserError(
            f"{what} must be written to {path}, which failed: {reason}; "
            f"{retained}free disk space, or fix the permissions, and run the "
            "same command again"
        ) from error


def new_array(path: str, dtype, shape: Sequence[int]) -> np.memmap:
    """A new .npy file of zeros, mapped into memory, with its space allocated.

    Without allocation, a full disk ends the process (SIGBUS) in a later write.

    Raises:
      OSError: the disk is full; no file is left.
    """
    try:
        array = np.lib.format.open_memmap(path, "w+", dtype, tuple(shape))
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(path)
        raise
    return array
