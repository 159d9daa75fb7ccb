"""A user's own data, in one of the layouts of `layouts`."""

import os
from collections.abc import Iterable

from attngan_tf.data import layouts
from attngan_tf.data.findings import Findings
from attngan_tf.data.raw import Entry, Found, RawImages
from attngan_tf.data.records import Report


class Folder(RawImages):
    """Images with captions, in a layout that `layouts.find` finds.

    An image's folder is its class. An image without a folder has a class of
    its own. Except with lists, so has each image if all are in one folder.
    """

    name = "attngan_folder"
    DESCRIPTION = "Images with captions from a folder of files."

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        return layouts.find(source).files

    @classmethod
    def found(cls, source: str) -> Found:
        layout = layouts.find(source)
        return Found(layout.files, layout.captions, layout.split)

    def entries(self, findings: Findings) -> dict[str, list[Entry]]:
        config = self.builder_config
        layout = layouts.find(config.source)
        items = list(layout.items(config.captions_per_image, findings))
        labels = _labels(items, layout.single_class)
        if config.fraction_split:
            self._splits = config.fraction_split.splits(labels)
            items = [x._replace(split=self._splits[x.name]) for x in items]
        class_ids = _class_ids(labels)
        return {
            split: [
                Entry(
                    item.name,
                    item.path,
                    os.path.join(config.source, item.path),
                    item.captions,
                    class_ids[item.name],
                )
                for item in items
                if item.split == split
            ]
            for split in ("train", "test")
        }

    def examples(self, report: Report) -> dict[str, Iterable[tuple]]:
        found = super().examples(report)
        if self.builder_config.fraction_split:  # no faults were found
            self.builder_config.fraction_split.record(self._splits)
        return found


def _labels(
    items: Iterable[layouts.Item], single_class: bool
) -> dict[str, str]:
    """The class of each image by name.

    No folder's name begins with a slash, which marks the class of one image.
    """
    folders = {item.label for item in items}
    has_classes = single_class or len(folders) > 1
    return {
        item.name: (has_classes and item.label) or f"/{item.name}"
        for item in items
    }


def _class_ids(labels: dict[str, str]) -> dict[str, int]:
    """Class ids by name: indices of sorted folders, then one per other name."""
    folders = sorted({x for x in labels.values() if not x.startswith("/")})
    ids = {label: number for number, label in enumerate(folders)}
    return {
        name: ids.setdefault(label, len(ids)) for name, label in labels.items()
    }
