"""Files that are whole or not there."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacing(path: str, mode: str = "w") -> Iterator[IO]:
    """A file that takes the place of `path` when the block has ended well.

    Whoever is killed at any moment, `path` is the old file or the new one.

    Args:
      path: of the file.
      mode: "w": UTF-8 text, with Unix's line ends; or "wb".
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
