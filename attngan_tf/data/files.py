"""Lists, reads and fingerprints files of the raw data."""

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping

from attngan_tf.errors import UserError

MAX_BYTES = 2**28  # COCO's captions, the largest file known, have 67 MB


def read_file(path: str) -> bytes:
    """Returns the bytes of a file; links are followed.

    Raises:
      OSError: it cannot be read, or has more than MAX_BYTES.
    """
    try:
        status = os.stat(path)
    except ValueError:  # a zero byte, or a lone surrogate
        raise OSError(errno.EINVAL, "no file can have this name") from None
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would block forever
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MAX_BYTES} bytes")
    with open(path, "rb") as file:
        return file.read()


def missing(root: str, paths: Iterable[str]) -> list[str]:
    """The paths that do not exist in `root`."""
    return [p for p in paths if not os.path.exists(os.path.join(root, p))]


def listing(root: str, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Files at or below some paths in `root`: {path: (bytes, mtime in ns)}.

    Links are followed, but not back into a folder that contains the link. What
    does not exist is left out.

    Raises:
      UserError: a folder cannot be read.
    """
    found, prefix = {}, os.path.join(root, "")
    for path in paths:
        for full in _files_below(os.path.join(root, path)):
            with contextlib.suppress(OSError):  # a dangling link
                status = os.stat(full)
                name = full[len(prefix) :]
                found[name] = (status.st_size, status.st_mtime_ns)
    return found


def _files_below(path: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The path itself, or all files below it if it is a folder.

    Args:
      path: the path.
      above: real paths of the folders that lead to it.
    """
    if not os.path.isdir(path):
        yield path
        return
    real = os.path.realpath(path)
    if real in above:
        return
    try:
        names = os.listdir(path)
    except OSError as error:
        raise UserError(
            f"folders of raw data must be readable; {path} is not: "
            f"{error.strerror}"
        ) from None
    for name in names:
        yield from _files_below(os.path.join(path, name), (*above, real))


def config_name(
    source: str, files: Mapping[str, tuple], *settings: float | str
) -> str:
    """The raw folder's name, and a fingerprint of its files and settings."""
    digest = hashlib.sha256(
        "\n".join(map(str, (source, *settings, ""))).encode()
    )
    for path in sorted(files):
        line = f"{path}\t{files[path]}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    folder = re.sub(r"[^A-Za-z0-9_.-]", "_", os.path.basename(source))
    return f"{folder[:64] or 'data'}-{digest.hexdigest()[:8]}"
