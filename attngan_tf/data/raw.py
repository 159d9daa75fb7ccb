"""Data sets in files: everything is checked before it is written."""

import collections
import concurrent.futures
import dataclasses
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import tensorflow_datasets as tfds
from tqdm import tqdm

from attngan_tf.data import images
from attngan_tf.data.files import read_file
from attngan_tf.data.findings import Findings
from attngan_tf.data.fraction_split import FractionSplit
from attngan_tf.data.records import (
    WHOLE_IMAGE,
    CaptionedImages,
    Crop,
    Example,
    Report,
)
from attngan_tf.errors import UserError

Box = tuple[float, float, float, float]


@dataclasses.dataclass(eq=False)
class RawConfig(tfds.core.BuilderConfig):
    """Where the raw data is, and how it is read.

    Attributes:
      source: the folder.
      captions_per_image: minimum number of an image's captions.
      fraction_split: assigns the split; None: the data has one.
      layout: a line that describes the layout; "" without a choice of layouts.
    """

    source: str = ""
    captions_per_image: int = 1
    tokenizer: str = "ascii"
    fraction_split: FractionSplit | None = None
    layout: str = ""


class Found(NamedTuple):
    """What was found in the folder of the raw data.

    Attributes:
      files: the files that are read, as `listing` returns them.
      captions: where the captions are; "" without a choice of layouts.
      split: what gives the split; "" if nothing does.
    """

    files: dict[str, tuple[int, int]]
    captions: str = ""
    split: str = "the split of the data set"


class Entry(NamedTuple):
    """An image that has not been read yet.

    Attributes:
      name: unique in the data set.
      where: the location, for messages.
      source: path of the image file, or its bytes.
      captions: one or more.
      class_id: see `records.features`.
      box: x, y, width and height of the subject in pixels, if known.
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


def inspect(entry: Entry) -> images.ImageInfo | str:
    """Decodes an entry's image; returns the reason if it cannot be used."""
    try:
        return images.inspect(entry.read())
    except images.ImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def make_example(entry: Entry, conversion: str, crop: Crop) -> Example:
    """The record of an image that was checked; see `ImageInfo`, `Example`.

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
    if conversion:
        data = images.to_png(data)
    return Example(entry.name, data, entry.captions, entry.class_id, crop)


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


def crop_around(box: Box, width: int, height: int) -> Crop:
    """A square around a box, cut off at the edges of the image.

    Its side is 1.5 times the box's longer side. As in the released code, the
    box is first truncated to integers.
    """
    x, y, w, h = (int(number) for number in box)
    radius = int(0.75 * max(w, h))
    center_x, center_y = int((2 * x + w) / 2), int((2 * y + h) / 2)
    left, right = max(0, center_x - radius), min(width, center_x + radius)
    top, bottom = max(0, center_y - radius), min(height, center_y + radius)
    return top, left, bottom - top, right - left


def _crop(entry: Entry, info: images.ImageInfo, findings: Findings) -> Crop:
    """The region of the image to use; a box outside of the image is a fault."""
    if entry.box is None:
        return WHOLE_IMAGE
    width, height, (x, y, w, h) = info.width, info.height, entry.box
    crop = crop_around(entry.box, width, height)
    outside = max(-x, -y, x + w - width, y + h - height)
    # CUB's boxes end up to a pixel beyond the edge: 5 + 496 > 500.
    if outside > 2 or min(crop[2:]) < 1:
        findings.fault(
            entry.where,
            f"its bounding box must lie in the {width} x {height} image; "
            f"found x {x:g}, y {y:g}, width {w:g}, height {h:g}",
        )
    return crop


class RawImages(CaptionedImages, skip_registration=True):
    """Base class of data sets in files.

    A subclass finds the files, and reads lists, captions and boxes. This
    process, or Beam's `workers`, checks and writes the images.
    """

    CAPTIONS_PER_IMAGE = 1
    workers = None  # `workers.Workers`

    @property
    def tokenizer(self) -> str:
        """The tokenizer of the vocabulary; see `tokenizer.tokenize`."""
        return self.builder_config.tokenizer

    @property
    def layout(self) -> str:
        return self.builder_config.layout

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """The files that are read, as `listing` returns them.

        Raises:
          UserError: this is not a folder of this data set.
        """
        raise NotImplementedError

    @classmethod
    def found(cls, source: str) -> Found:
        """The files, and what names the layout; raises as `files` does."""
        return Found(cls.files(source))

    def entries(self, findings: Findings) -> Mapping[str, Iterable[Entry]]:
        """The entries of train and test; each split is iterated twice.

        Faults outside of the image files are added to `findings`.
        """
        raise NotImplementedError

    def examples(self, report: Report) -> Mapping[str, Iterable[tuple]]:
        """The arguments of `make_example` for each image.

        Raises:
          FaultsError: the raw data has faults; all are listed.
        """
        findings = Findings(report, self.tokenizer)
        splits, checked = {}, {}
        entries = self.entries(findings)
        for split, listed in entries.items():
            for entry, found in self._inspected(split, listed):
                if entry.name in splits:
                    findings.fault(
                        entry.where,
                        "an image must be listed once; this one is in "
                        f"{splits[entry.name]}, and again in {split}",
                    )
                splits.setdefault(entry.name, split)
                if isinstance(found, str):
                    findings.fault(entry.where, found)
                    continue
                crop = _crop(entry, found, findings)
                checked[entry.name] = found.conversion, crop
                if found.conversion:
                    kind = f"converted to PNG: {found.conversion}"
                    findings.note(kind, entry.where)
            if not findings.faults and split not in splits.values():
                findings.fault(split, "must have an image; found none")
        findings.raise_any(self.builder_config.source)
        return {
            split: ((entry, *checked[entry.name]) for entry in listed)
            for split, listed in entries.items()
        }

    def _inspected(self, split: str, listed: Iterable[Entry]) -> Iterator:
        """Pairs of an entry and the result of `inspect`."""
        if self.workers:
            pairs = self.workers.inspect(split, listed)
        else:
            pairs = in_threads(inspect, listed)
        total = operator.length_hint(listed) or None
        return tqdm(pairs, f"Checking {split}", total)

    def _generate_examples(self, split: str, examples: Iterable[tuple]):
        if self.workers:
            examples = list(examples)
            for entry, *_ in examples:
                self._captions[split].extend(entry.captions)
            return self.workers.examples(split, examples)
        made = in_threads(lambda checked: make_example(*checked), examples)
        return super()._generate_examples(split, (record for _, record in made))
