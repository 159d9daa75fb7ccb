"""Temporary files of several processes in one folder, and their removal."""

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def folder(base: str, prefix: str) -> Iterator[str]:
    """A new folder in `base`, removed after the block unless it was renamed.

    Folders whose names begin with `prefix` are removed as in `writer`.
    """
    with (
        writer(base, f"{prefix}*"),
        tempfile.TemporaryDirectory(
            prefix=prefix, dir=base, ignore_cleanup_errors=True
        ) as path,
    ):
        yield path


@contextlib.contextmanager
def writer(base: str, *patterns: str) -> Iterator[None]:
    """Lets this process write in `base` beside others while the block runs.

    Before and after the block, the files that killed processes left are
    removed, unless another process is writing: each holds a lock on the folder
    itself, which ends with the process. On a file system without such locks
    (NFS), nothing is removed.

    Args:
      base: a folder; created if necessary.
      patterns: patterns of names that writers give to unfinished files only.

    Raises:
      OSError: the folder cannot be written.
    """
    os.makedirs(base, exist_ok=True)
    descriptor = os.open(base, os.O_RDONLY)
    try:
        _remove_if_alone(descriptor, base, patterns)
        # Waits only while another process removes files.
        _lock(descriptor, fcntl.LOCK_SH)
        try:
            yield
        finally:
            _remove_if_alone(descriptor, base, patterns)
    finally:
        os.close(descriptor)


def _remove_if_alone(
    descriptor: int, base: str, patterns: tuple[str, ...]
) -> None:
    """Removes unfinished files; one that cannot be removed stays."""
    if not _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
        return
    for path in _found(base, patterns):
        with contextlib.suppress(OSError):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)


def _lock(descriptor: int, kind: int) -> bool:
    """Locks a folder; False if it is locked, or there are no locks."""
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        return False
    return True


def _found(base: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """Paths of unfinished files; `base` may have special characters."""
    for pattern in patterns:
        yield from glob.iglob(os.path.join(glob.escape(base), pattern))
