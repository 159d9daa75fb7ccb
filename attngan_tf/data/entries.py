"""Pictures in files: what is known before and after they are looked into."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from attngan_tf.data import pictures
from attngan_tf.data.files import read_file
from attngan_tf.data.records import Example
from attngan_tf.errors import UserError

Box = tuple[float, float, float, float]


class Entry(NamedTuple):
    """A picture before its file was looked into.

    `where` names the file in messages; `source` is its path, or its bytes
    where they are no file; `box` is x, y, width, height in pixels of the
    subject, if known.
    """

    name: str
    where: str
    source: str | bytes
    captions: list[str]
    class_id: int
    box: Box | None = None

    def read(self) -> bytes:
        """The picture's bytes; raises OSError."""
        if isinstance(self.source, bytes):
            return self.source
        return read_file(self.source)


class Checked(NamedTuple):
    """What a look into a picture's file gave."""

    conversion: str
    crop: tuple[int, int, int, int]


def look(entry: Entry) -> pictures.Picture | pictures.PictureError:
    """Decodes an entry's picture; what is wrong with it is returned."""
    try:
        return pictures.inspect(entry.read())
    except pictures.PictureError as error:
        return error
    except OSError as error:
        return pictures.PictureError(f"cannot be read: {error.strerror}")


def make_example(entry: Entry, checked: Checked) -> Example:
    """The record of a picture that was looked into.

    Raises:
      UserError: the file is not there any more.
    """
    try:
        data = entry.read()
    except OSError as error:  # it could be read a moment ago
        raise UserError(
            f"{entry.where} must stay where it is while data is "
            f"prepared; {error.strerror}; run again"
        ) from None
    if checked.conversion:
        data = pictures.to_png(data)
    return Example(
        entry.name, data, entry.captions, entry.class_id, checked.crop
    )


def in_threads(function: Callable, items: Iterable) -> Iterator[tuple]:
    """Pairs (item, function(item)), in order, a few items ahead."""
    threads = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        ahead = collections.deque()
        for item in items:
            ahead.append((item, pool.submit(function, item)))
            if len(ahead) > 4 * threads:
                item, future = ahead.popleft()
                yield item, future.result()
        for item, future in ahead:
            yield item, future.result()
