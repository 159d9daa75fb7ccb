"""Atomic writes: a file is complete, or does not exist."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacing(path: str, mode: str = "w") -> Iterator[IO]:
    """A file that replaces `path` if the block ends without an error.

    If the process is killed, `path` is either the old file or the new one.

    Args:
      path: path of the file.
      mode: "w" for UTF-8 text with Unix line ends, or "wb".
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    new = f"{path}.new"
    try:
        with open(new, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(new)
        raise
