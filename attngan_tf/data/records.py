"""The format of all prepared data sets: TFDS records."""

import collections
import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from attngan_tf.data.views import Records
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import printable

REPORT_FILE = "report.json"
Crop = tuple[int, int, int, int]  # top, left, height, width in pixels
WHOLE_IMAGE: Crop = (0, 0, 0, 0)


def features() -> tfds.features.FeaturesDict:
    """The features of a record.

    image: bytes of an 8-bit RGB JPEG or PNG; crop: int32 [4], see `Crop`, all
    0 for the whole image; captions: one or more; class_id: captions of one
    class may fit each of its images; name: unique in the data set.
    """
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "crop": tfds.features.Tensor(shape=(4,), dtype=np.int32),
            "captions": tfds.features.Sequence(tfds.features.Text()),
            "class_id": tfds.features.Scalar(dtype=np.int64),
            "name": tfds.features.Text(),
        }
    )


class Example(NamedTuple):
    """A record before it is written; see `features`."""

    name: str
    image: bytes
    captions: list[str]
    class_id: int
    crop: Crop = WHOLE_IMAGE


@dataclasses.dataclass
class Report:
    """What a prepared data set contains; the fields are those of report.json.

    Attributes:
      pictures: number of images by split.
      captions: number of captions by split.
      words: number of entries of vocab.txt.
      notes: locations of what was converted or left out, by kind.
      content: `Records.content` by split.
    """

    pictures: dict[str, int] = dataclasses.field(default_factory=dict)
    captions: dict[str, int] = dataclasses.field(default_factory=dict)
    words: int = 0
    notes: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    content: dict[str, dict] = dataclasses.field(default_factory=dict)

    def note(self, kind: str, where: str) -> None:
        """Adds a note, such as a converted image."""
        self.notes.setdefault(kind, []).append(printable(where))

    def lines(self) -> list[str]:
        """The report as text, with three of each note's locations."""
        lines = [
            f"{split}: {count} images, {self.captions[split]} captions"
            for split, count in self.pictures.items()
        ]
        lines.append(f"vocabulary: {self.words} words, including <end>")
        for kind, found in sorted(self.notes.items()):
            named = ", ".join(found[:3]) + ", ..." * (len(found) > 3)
            lines.append(f"{kind}: {len(found)} ({named})")
        return lines

    def save(self, folder: str) -> None:
        """Writes report.json, with all locations."""
        path = os.path.join(folder, REPORT_FILE)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file, indent=1)

    @classmethod
    def load(cls, folder: str) -> "Report":
        """Reads what `save` wrote."""
        path = os.path.join(folder, REPORT_FILE)
        with open(path, encoding="utf-8") as file:
            return cls(**json.load(file))


class Info(tfds.core.DatasetInfo):
    """TFDS's description of a data set, without access to the network."""

    def initialize_from_bucket(self) -> None:
        """Does nothing; TFDS's own looks for the data set on the network."""

    def read_from_directory(self, dataset_info_dir: str) -> None:
        """Reads the description; a damaged one counts as missing."""
        try:
            super().read_from_directory(dataset_info_dir)
        except Exception:  # TFDS's errors have no common base
            self.set_splits(tfds.core.splits.SplitDict([]))


class CaptionedImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base class of the data sets: a subclass gives only the examples.

    `catalog.prepare` writes the prepared folder. Records are in array_record
    format, for random access; TFDS shuffles them once, by a hash of the names.
    """

    layout = ""  # a line that describes where captions and the split are
    VERSION = tfds.core.Version("1.1.0")  # 1.1.0 added checksums
    DESCRIPTION = "Images with captions."
    tokenizer = "ascii"

    def __init__(self, *, file_format="array_record", **kwargs):
        super().__init__(file_format=file_format, **kwargs)

    def examples(self, report: Report) -> Mapping[str, Iterable[Example]]:
        """The examples of `train` and `test`, each iterated once.

        Args:
          report: takes notes; the counts are filled in later.
        """
        raise NotImplementedError

    def describe(self) -> None:
        """Adds vocab.txt (the words of all captions) and report.json."""
        report, captions = self._report, self._captions
        vocabulary = Vocabulary.build(
            itertools.chain(*captions.values()), self.tokenizer
        )
        vocabulary.save(self.data_dir)
        report.pictures = {
            split: info.num_examples for split, info in self.info.splits.items()
        }
        report.captions = {split: len(captions[split]) for split in captions}
        report.words = len(vocabulary)
        report.content = {
            split: Records(self, split).content() for split in self.info.splits
        }
        report.save(self.data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        return Info(
            builder=self, description=self.DESCRIPTION, features=features()
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        self._report = Report()
        self._captions = collections.defaultdict(list)
        return {
            split: self._generate_examples(split, examples)
            for split, examples in self.examples(self._report).items()
        }

    def _generate_examples(self, split: str, examples: Iterable[Example]):
        for example in tqdm(examples, f"Writing {split}"):
            self._captions[split].extend(example.captions)
            yield example.name, example._asdict()
