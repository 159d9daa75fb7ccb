"""Temporary files of several processes in one folder, and their removal."""

import contextlib
import fcntl
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from typing import IO

LOCK_FILE = ".writers"  # locked by each process that writes in its folder


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
    removed, unless another process is writing: its lock ends with it. The lock
    is on a file opened for writing, which NFS shows to all hosts. On a file
    system without locks, nothing is removed.

    Args:
      base: a folder; created if necessary.
      patterns: patterns of names that writers give to unfinished files only.

    Raises:
      OSError: the folder cannot be written.
    """
    with _open(base, patterns) as file:
        try:
            yield
        finally:
            if _alone(file):
                _remove(base, patterns)
                with contextlib.suppress(OSError):
                    os.remove(file.name)


def remove_left(base: str, *patterns: str) -> None:
    """Removes the files that killed writers left, if possible.

    A folder without such files is not written to.
    """
    if any(_found(base, (*patterns, LOCK_FILE))):
        with contextlib.suppress(OSError), writer(base, *patterns):
            pass


def _open(base: str, patterns: tuple[str, ...]) -> IO:
    """The open lock file, locked together with other writers.

    Another writer may remove the folder or the file at any moment, so both are
    created, and checked, until they are still there after locking.
    """
    path = os.path.join(base, LOCK_FILE)
    while True:
        try:
            os.makedirs(base, exist_ok=True)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.lstat(base).st_mode):
                    raise
            continue  # another process created and removed it meanwhile
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(open(path, "ab"))
            except FileNotFoundError:
                continue  # the folder was removed meanwhile
            if _alone(file):
                _remove(base, patterns)
            # Waits only while another process removes files.
            _flock(file, fcntl.LOCK_SH)
            # The last writer removes the lock file.
            if _is_there(file):
                stack.pop_all()
                return file


def _alone(file: IO) -> bool:
    """Whether no other process writes; if so, none can start to."""
    return _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB) and _is_there(file)


def _flock(file: IO, kind: int) -> bool:
    """Locks a file; False if it is locked, or there are no locks."""
    try:
        fcntl.flock(file, kind)
    except OSError:
        return False
    return True


def _is_there(file: IO) -> bool:
    """Whether an open lock file is still the one that others will open."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except OSError:
        return False


def _found(base: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """Paths of unfinished files; `base` may have special characters."""
    for pattern in patterns:
        yield from glob.iglob(os.path.join(glob.escape(base), pattern))


def _remove(base: str, patterns: tuple[str, ...]) -> None:
    """Removes unfinished files; one that cannot be removed stays."""
    for path in _found(base, patterns):
        with contextlib.suppress(OSError):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
