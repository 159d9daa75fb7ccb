"""Files of the raw data: which there are, and reading one with care."""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping

from attngan_tf.errors import UserError

MOST_BYTES = 2**28  # COCO's captions, the largest file known, take 67 MB
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: str) -> os.stat_result:
    """Looks whether a path, or what it links to, is a file or a folder.

    Opening a pipe waits for a writer, and a device may have no end.

    Raises:
      OSError: it is neither, or nothing is there; strerror says what it is.
    """
    try:
        status = os.stat(path)
    except ValueError:  # a zero byte, or half a surrogate pair
        raise OSError(errno.EINVAL, "no file can have this name") from None
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind:
        raise OSError(errno.EINVAL, f"It is {kind}, not a file")
    return status


def read_file(path: str) -> bytes:
    """The bytes of a file.

    Raises:
      OSError: it is no file that can be read, or one of more than MOST_BYTES;
        strerror says why.
    """
    size = check_file(path).st_size
    if size > MOST_BYTES:
        raise OSError(
            errno.EFBIG, f"It has {size} bytes, more than {MOST_BYTES}"
        )
    with open(path, "rb") as file:
        return file.read(MOST_BYTES)


def listing(root: str, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Files at or under paths of `root`: {path: (bytes, mtime in ns)}.

    Links are followed; what does not exist is left out.
    """
    found, seen, queue = {}, set(), list(paths)
    while queue:
        path = queue.pop()
        full = os.path.join(root, path)
        if not os.path.isdir(full):
            if os.path.exists(full):
                status = os.stat(full)
                found[path] = (status.st_size, status.st_mtime_ns)
            continue
        real = os.path.realpath(full)
        if real in seen:  # a link to a folder above it
            continue
        seen.add(real)
        for item in _items(full):
            name = os.path.join(path, item.name)
            try:
                if item.is_dir():
                    queue.append(name)
                else:
                    status = item.stat()
                    found[name] = (status.st_size, status.st_mtime_ns)
            except OSError:  # a link to nothing
                continue
    return found


def _items(folder: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except OSError as error:
        raise UserError(
            f"folders of raw data must be readable; {folder} is not: "
            f"{error.strerror}"
        ) from None


def config_name(
    source: str, files: Mapping[str, tuple], captions_per_image: int
) -> str:
    """A name that changes with the raw data: its folder's and a fingerprint."""
    digest = hashlib.sha256(f"{source}\n{captions_per_image}\n".encode())
    for path in sorted(files):
        line = f"{path}\t{files[path]}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    folder = re.sub(r"[^A-Za-z0-9_.-]", "_", os.path.basename(source))
    return f"{folder[:64] or 'data'}-{digest.hexdigest()[:8]}"
