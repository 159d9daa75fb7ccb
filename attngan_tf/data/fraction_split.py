"""A split of images by --test_fraction, which never changes."""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping

from attngan_tf.io.files import replacing


@dataclasses.dataclass(frozen=True)
class FractionSplit:
    """A random split, of classes where there are classes.

    It is recorded in a file. Images that are in this file keep their split
    when others are added, and with any seed.

    Attributes:
      path: the file: JSON, the names of the images of each split.
      fraction: of the images that the test split should have.
      seed: of the order in which classes are added to the test split.
    """

    path: str
    fraction: float
    seed: int

    def splits(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The split of each name, train or test.

        All images of a class have one split. A class is added to the test
        split if that brings it closer to its size.

        Args:
          labels: the class of each name.
        """
        recorded = self._recorded()
        found = {name: recorded[name] for name in labels if name in recorded}
        by_class = {labels[name]: split for name, split in found.items()}
        added = collections.defaultdict(list)
        for name, label in labels.items():
            if name not in found:
                added[label].append(name)
        wanted = self.fraction * len(labels)
        size = list(found.values()).count("test")
        for label in sorted(added, key=self._rank):
            names = added[label]
            closer = size + len(names) / 2 <= wanted
            split = by_class.get(label, "test" if closer else "train")
            found |= dict.fromkeys(names, split)
            size += len(names) * (split == "test")
        if labels and not size and not recorded:  # all classes are large
            smallest = min(added.values(), key=len)
            found |= dict.fromkeys(smallest, "test")
        return found

    def record(self, splits: Mapping[str, str]) -> None:
        """Writes splits; names that are already recorded stay.

        Raises:
          OSError: the file cannot be written.
        """
        splits = self._recorded() | dict(splits)
        lists = {"train": [], "test": []}
        for name in sorted(splits):
            lists[splits[name]].append(name)
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with replacing(self.path) as file:
            json.dump(lists, file, indent=1)

    def _recorded(self) -> dict[str, str]:
        if not os.path.exists(self.path):
            return {}
        with open(self.path, encoding="utf-8") as file:
            lists = json.load(file)
        return {name: split for split in lists for name in lists[split]}

    def _rank(self, label: str) -> bytes:
        """Orders classes at random; the same order for the same seed."""
        text = f"{self.seed} {label}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(text).digest()
