"""Base class of data sets in files: everything is checked, then written."""

import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping

import tensorflow_datasets as tfds
from tqdm import tqdm

from attngan_tf.data import images, workers
from attngan_tf.data.entries import (
    Checked,
    Entry,
    in_threads,
    inspect,
    make_example,
)
from attngan_tf.data.findings import Findings
from attngan_tf.data.records import WHOLE_IMAGE, CaptionedImages, Report


@dataclasses.dataclass(eq=False)
class RawConfig(tfds.core.BuilderConfig):
    """Where the raw data is, and how many captions an image must have."""

    source: str = ""
    captions_per_image: int = 1


class RawImages(CaptionedImages, skip_registration=True):
    """A subclass finds the files and reads lists, captions and boxes.

    Images are checked and written by this process, or by Beam's workers.
    """

    CAPTIONS_PER_IMAGE = 1
    _workers: workers.Workers | None = None

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """The files that are read, as `listing` returns them.

        Raises:
          UserError: this is not a folder of this data set.
        """
        raise NotImplementedError

    def entries(self, findings: Findings) -> Mapping[str, Iterable[Entry]]:
        """The entries of train and test; each split is iterated twice.

        Names must be unique. Faults outside of the image files are added to
        `findings`.
        """
        raise NotImplementedError

    def crop_of(
        self, entry: Entry, info: images.ImageInfo, findings: Findings
    ) -> tuple[int, int, int, int]:
        """The region to use: top, left, height, width in pixels."""
        del entry, info, findings
        return WHOLE_IMAGE

    def examples(
        self, report: Report
    ) -> Mapping[str, Iterable[tuple[Entry, Checked]]]:
        """What `_generate_examples` makes examples of.

        Raises:
          FaultsError: the raw data has faults; it lists all.
        """
        findings = Findings(report)
        entries = self.entries(findings)
        if self._workers:
            entries = {
                split: workers.check_files(listed)
                for split, listed in entries.items()
            }
        checked = {
            split: self._check(split, listed, findings)
            for split, listed in entries.items()
        }
        for split in ("train", "test"):
            if not findings.faults and not checked.get(split):
                findings.fault(split, "must have an image; found none")
        findings.raise_any(self.builder_config.source)
        return {
            split: _pairs(listed, checked[split])
            for split, listed in entries.items()
        }

    def _check(
        self, split: str, listed: Iterable[Entry], findings: Findings
    ) -> dict[str, Checked]:
        checked = {}
        if self._workers:
            results = self._workers.inspect(split, listed)
        else:
            results = in_threads(inspect, listed)
        total = len(listed) if isinstance(listed, list) else None
        for entry, result in tqdm(results, f"Checking {split}", total):
            if entry.name in checked:
                findings.fault(entry.where, "an image must be listed once")
            if isinstance(result, images.ImageError):
                findings.fault(entry.where, str(result))
                continue
            crop = self.crop_of(entry, result, findings)
            checked[entry.name] = Checked(result.conversion, crop)
            if result.conversion:
                kind = f"converted to PNG: {result.conversion}"
                findings.note(kind, entry.where)
        return checked

    def _generate_examples(
        self, split: str, pairs: Iterable[tuple[Entry, Checked]]
    ):
        if self._workers:
            pairs = list(pairs)
            for entry, _ in pairs:
                self._captions[split].extend(entry.captions)
            return self._workers.examples(split, pairs)
        made = in_threads(lambda pair: make_example(*pair), pairs)
        return super()._generate_examples(
            split, (example for _, example in made)
        )

    def _download_and_prepare(self, dl_manager, download_config):
        options = download_config.beam_options
        if options is None:
            super()._download_and_prepare(dl_manager, download_config)
            return
        # data_dir is TFDS's temporary folder here.
        folder = os.path.join(self.data_dir, workers.FOLDER)
        self._workers = workers.Workers(options, folder)
        try:
            with workers.failures_as_user_errors():
                super()._download_and_prepare(dl_manager, download_config)
        finally:
            self._workers = None
        shutil.rmtree(folder)


def _pairs(
    listed: Iterable[Entry], checked: dict[str, Checked]
) -> Iterator[tuple[Entry, Checked]]:
    return ((entry, checked[entry.name]) for entry in listed)
