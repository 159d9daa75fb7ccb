"""Images in files: what is known before and after a file is checked."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from attngan_tf.data import images
from attngan_tf.data.files import read_file
from attngan_tf.data.records import Example
from attngan_tf.errors import UserError

Box = tuple[float, float, float, float]


class Entry(NamedTuple):
    """An image whose file was not read yet.

    `where` names the file in messages; `source` is its path, or its bytes;
    `box` is x, y, width, height of the subject in pixels, if known.
    """

    name: str
    where: str
    source: str | bytes
    captions: list[str]
    class_id: int
    box: Box | None = None

    def read(self) -> bytes:
        """The image's bytes; raises OSError."""
        if isinstance(self.source, bytes):
            return self.source
        return read_file(self.source)


class Checked(NamedTuple):
    """The result of checking an image; see `ImageInfo` and `Example`."""

    conversion: str
    crop: tuple[int, int, int, int]


def inspect(entry: Entry) -> images.ImageInfo | images.ImageError:
    """Decodes an entry's image; returns the error if it is not whole."""
    try:
        return images.inspect(entry.read())
    except images.ImageError as error:
        return error
    except OSError as error:
        return images.ImageError(f"cannot be read: {error.strerror}")


def make_example(entry: Entry, checked: Checked) -> Example:
    """The record of an image that was checked.

    Raises:
      UserError: the file has disappeared since.
    """
    try:
        data = entry.read()
    except OSError as error:
        raise UserError(
            f"{entry.where} must stay where it is while data is "
            f"prepared; {error.strerror}; run again"
        ) from None
    if checked.conversion:
        data = images.to_png(data)
    return Example(
        entry.name, data, entry.captions, entry.class_id, checked.crop
    )


def in_threads(function: Callable, items: Iterable) -> Iterator[tuple]:
    """Pairs (item, function(item)) in order, computed a few items ahead."""
    threads = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        pending = collections.deque()
        for item in items:
            pending.append((item, pool.submit(function, item)))
            if len(pending) > 4 * threads:
                item, future = pending.popleft()
                yield item, future.result()
        for item, future in pending:
            yield item, future.result()
