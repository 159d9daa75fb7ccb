"""Files on their way, of several processes, and what killed ones left."""

import contextlib
import fcntl
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from typing import IO

LOCK_FILE = ".writers"  # held by all who write in its folder


@contextlib.contextmanager
def folder(base: str, prefix: str) -> Iterator[str]:
    """A new folder in `base`, removed in the end unless it was renamed.

    See `writer`, for folders whose names begin with `prefix`.
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

    Before and after, what killed processes left is removed, unless another
    writer is at work: the lock ends with the process, however that ends. A
    file's lock, and one for writing, is what NFS shows to all hosts. Where
    there are no locks, nothing is removed.

    Args:
      base: a folder; made if need be.
      patterns: of names that only writers use, and rename when all is written.

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
    """Removes what killed writers left, if that can be done.

    A folder without such files is only looked at.
    """
    if any(_found(base, (*patterns, LOCK_FILE))):
        with contextlib.suppress(OSError), writer(base, *patterns):
            pass


def _open(base: str, patterns: tuple[str, ...]) -> IO:
    """The file of a lock that this process shares with others."""
    path = os.path.join(base, LOCK_FILE)
    while True:
        try:
            os.makedirs(base, exist_ok=True)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.lstat(base).st_mode):
                    raise
            continue  # it was made, and removed, in between
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(open(path, "ab"))
            except FileNotFoundError:
                continue  # whoever made the folder, too, has removed it
            if _alone(file):
                _remove(base, patterns)
            # Others that come here hold it only while they remove.
            _flock(file, fcntl.LOCK_SH)
            # The last writer removes the file.
            if _is_there(file):
                stack.pop_all()
                return file


def _alone(file: IO) -> bool:
    """Whether nobody else holds the lock; if so, nobody else gets it."""
    return _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB) and _is_there(file)


def _flock(file: IO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind)
    except OSError:
        return False
    return True


def _is_there(file: IO) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except OSError:
        return False


def _found(base: str, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        yield from glob.iglob(os.path.join(glob.escape(base), pattern))


def _remove(base: str, patterns: tuple[str, ...]) -> None:
    for path in _found(base, patterns):
        with contextlib.suppress(OSError):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
