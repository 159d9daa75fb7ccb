"""What the data sets read from files share: checks first, then records."""

import dataclasses
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping

import tensorflow_datasets as tfds
from tqdm import tqdm

from attngan_tf.data import pictures, workers
from attngan_tf.data.entries import (
    Checked,
    Entry,
    in_threads,
    look,
    make_example,
)
from attngan_tf.data.files import read_file
from attngan_tf.data.records import (
    WHOLE_PICTURE,
    CaptionedPictures,
    Example,
    Report,
)
from attngan_tf.errors import UserError, printable

_WORD = re.compile(r"[a-z0-9_]")  # what a word of the tokenizer is made of
_NAMED_FAULTS = 3
_NAMED_LINES = 20  # of a file that is not UTF-8
_MOST_CHARACTERS = 300  # of a place, and of what is wrong there
_MOST_CAPTION = 2**16  # bytes; a file without line ends is no caption
# Byte order marks; UTF-32's little end begins as UTF-16's does.
_OTHER_TEXT = {
    b"\xff\xfe": "UTF-16 or UTF-32",
    b"\xfe\xff": "UTF-16",
    b"\0\0\xfe\xff": "UTF-32",
}


class FaultsError(UserError):
    """Raw data that cannot be used; `faults` has a line for each fault."""

    def __init__(self, source: str, faults: list[str]):
        self.faults = faults
        named = "; ".join(faults[:_NAMED_FAULTS])
        more = len(faults) - _NAMED_FAULTS
        super().__init__(
            f"the raw data in {source} must be whole; found {len(faults)} "
            f"fault{'s' * (len(faults) > 1)}: {named}"
            f"{f'; and {more} more' if more > 0 else ''}; mend them and run "
            "again"
        )


class Findings:
    """All faults of a data set, and remarks for its report.

    Args:
      report: takes the remarks.
    """

    def __init__(self, report: Report):
        self.faults: list[str] = []
        self._known: set[str] = set()
        self.note = report.note

    def fault(self, where: str, what: str) -> None:
        """Adds a fault: where it is, and what is wrong, in one line."""
        line = f"{_shortened(where)}: {_shortened(what)}"
        if line not in self._known:  # a picture may be listed twice
            self._known.add(line)
            self.faults.append(line)

    def raise_any(self, source: str) -> None:
        """Raises FaultsError if there is a fault."""
        if self.faults:
            raise FaultsError(source, self.faults)


def _shortened(text: str) -> str:
    """Its printable form, the middle left out where it is long."""
    text, half = printable(text), _MOST_CHARACTERS // 2
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[:half]}[...]{text[-half:]}"


@dataclasses.dataclass(eq=False)
class RawConfig(tfds.core.BuilderConfig):
    """Where the raw data is, and how many captions a picture must have."""

    source: str = ""
    captions_per_image: int = 1


class RawPictures(CaptionedPictures, skip_registration=True):
    """Base of data sets in files: all is checked before a byte is written."""

    CAPTIONS_PER_IMAGE = 1
    _workers: workers.Workers | None = None

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """The files that are read, as `listing` gives them.

        Raises:
          UserError: this is not a folder of this data set.
        """
        raise NotImplementedError

    def entries(self, findings: Findings) -> Mapping[str, Iterable[Entry]]:
        """The entries of train and test; they are iterated twice.

        Names must be unique. What is wrong outside the picture files goes to
        `findings`.
        """
        raise NotImplementedError

    def crop_of(
        self, entry: Entry, picture: pictures.Picture, findings: Findings
    ) -> tuple[int, int, int, int]:
        """The region to use: top, left, height, width in pixels."""
        del entry, picture, findings
        return WHOLE_PICTURE

    def examples(self, report: Report) -> Mapping[str, Iterable[Example]]:
        """Checks everything; raises FaultsError with every fault."""
        return {
            split: self._write(pairs)
            for split, pairs in self._checked(report).items()
        }

    def _checked(
        self, report: Report
    ) -> dict[str, Iterator[tuple[Entry, Checked]]]:
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
                findings.fault(split, "must have a picture; found none")
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
            looks = self._workers.look(split, listed)
        else:
            looks = in_threads(look, listed)
        total = len(listed) if isinstance(listed, list) else None
        for entry, result in tqdm(looks, f"Checking {split}", total):
            if entry.name in checked:
                findings.fault(entry.where, "a picture must stand once")
            if isinstance(result, pictures.PictureError):
                findings.fault(entry.where, str(result))
                continue
            crop = self.crop_of(entry, result, findings)
            checked[entry.name] = Checked(result.conversion, crop)
            if result.conversion:
                kind = f"converted to PNG: {result.conversion}"
                findings.note(kind, entry.where)
        return checked

    def _write(
        self, pairs: Iterable[tuple[Entry, Checked]]
    ) -> Iterator[Example]:
        for _, example in in_threads(lambda pair: make_example(*pair), pairs):
            yield example

    def _split_generators(self, dl_manager):
        if not self._workers:
            return super()._split_generators(dl_manager)
        self._begin()
        generators = {}
        for split, pairs in self._checked(self._report).items():
            pairs = list(pairs)
            for entry, _ in pairs:
                self._captions[split].extend(entry.captions)
            generators[split] = self._workers.examples(split, pairs)
        return generators

    def _download_and_prepare(self, dl_manager, download_config):
        options = download_config.beam_options
        if options is None:
            super()._download_and_prepare(dl_manager, download_config)
            return
        # data_dir is TFDS's temporary folder here.
        folder = os.path.join(self.data_dir, workers.FOLDER)
        self._workers = workers.Workers(options, folder)
        try:
            with workers.failures_told():
                super()._download_and_prepare(dl_manager, download_config)
        finally:
            self._workers = None
        shutil.rmtree(folder)


def _pairs(
    listed: Iterable[Entry], checked: dict[str, Checked]
) -> Iterator[tuple[Entry, Checked]]:
    return ((entry, checked[entry.name]) for entry in listed)


def check_name(name: str, place: str, findings: Findings) -> bool:
    """Whether a name stays below its folder; a fault if it does not."""
    inside = not {"", ".", ".."} & set(name.split("/"))
    if not inside:
        findings.fault(
            place, f"a name must be a path below its folder; found {name}"
        )
    return inside


def check_splits(
    names: Mapping[str, Iterable[str]],
    files: Mapping[str, str],
    findings: Findings,
) -> None:
    """A name in both splits is a fault."""
    for name in sorted(set(names["train"]) & set(names["test"])):
        findings.fault(
            name,
            "a picture must be in one split; this one is in "
            f"{files['train']} and in {files['test']}",
        )


def read_lines(
    path: str, where: str, findings: Findings
) -> list[tuple[int, str]]:
    """Lines with their numbers, stripped; blank ones are left out.

    Carriage returns and byte order marks are removed, and noted. A line that
    is not UTF-8 is a fault, and so is a file that cannot be read.
    """
    try:
        data = read_file(path)
    except OSError as error:
        findings.fault(where, f"must be a text file: {error.strerror}")
        return []
    if other := _other_than_text(data):
        findings.fault(where, f"must be a text file in UTF-8; found {other}")
        return []
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
        findings.note("byte order mark removed", where)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        findings.note("carriage returns removed", where)
    lines, others = [], []
    for number, raw in enumerate(data.split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            others.append((number, raw[error.start]))
            continue
        if line:
            lines.append((number, line))
    for number, byte in others[:_NAMED_LINES]:
        findings.fault(
            f"{where} line {number}", f"must be UTF-8; found byte 0x{byte:02x}"
        )
    if more := others[_NAMED_LINES:]:
        findings.fault(where, f"must be UTF-8; {len(more)} more lines are not")
    return lines


def _other_than_text(data: bytes) -> str:
    for mark, name in _OTHER_TEXT.items():
        if data.startswith(mark):
            return name
    place = data.find(0)
    return f"a zero byte at {place}" if place >= 0 else ""


def read_captions(
    path: str, where: str, least: int, findings: Findings
) -> list[str]:
    """The captions of a file, one a line; see `keep_captions`."""
    faults = len(findings.faults)
    lines = read_lines(path, where, findings)
    if len(findings.faults) > faults:
        return []
    places = [(f"{where} line {number}", line) for number, line in lines]
    return keep_captions(places, where, least, findings)


def keep_captions(
    captions: Iterable[tuple[str, str]],
    where: str,
    least: int,
    findings: Findings,
) -> list[str]:
    """The captions of a picture; fewer than `least` are a fault.

    Those without a word for the tokenizer are left out, and noted.

    Args:
      captions: pairs of a caption's place and its text.
      where: the place of all of them.
      least: how many there must be.
      findings: takes faults and notes.
    """
    kept = []
    for place, caption in captions:
        if not _WORD.search(caption.lower()):
            findings.note("captions without a word left out", place)
            continue
        if wrong := _wrong_with(caption):
            findings.fault(place, wrong)
            continue
        if "\ufffd" in caption:
            findings.note("captions with U+FFFD (damaged before)", place)
        kept.append(caption)
    if len(kept) < least:
        findings.fault(
            where,
            f"must hold {least} captions (--captions_per_image); found "
            f"{len(kept) or 'none'}",
        )
    return kept


def _wrong_with(caption: str) -> str:
    try:
        size = len(caption.encode("utf-8"))
    except UnicodeEncodeError as error:
        return (
            "must be text in UTF-8; found half a surrogate pair, "
            f"U+{ord(caption[error.start]):04X}"
        )
    if size > _MOST_CAPTION:
        return f"a caption may have {_MOST_CAPTION} bytes; found {size}"
    return ""
