"""Checks the raw data's text files, and collects all faults."""

import codecs
import os
import re
from collections.abc import Iterable

from attngan_tf.data.files import read_file
from attngan_tf.data.records import Report
from attngan_tf.errors import UserError, printable

_WORD = re.compile(r"[a-z0-9_]")  # the characters of the tokenizer's words
_MAX_NAMED_FAULTS = 3
_MAX_CHARACTERS = 300  # of each part of a fault's line
_MAX_CAPTION = 2**16  # bytes


class FaultsError(UserError):
    """Raw data that cannot be used; `faults` has a line for each fault."""

    def __init__(self, source: str, faults: list[str]):
        self.faults = faults
        named = "; ".join(faults[:_MAX_NAMED_FAULTS])
        more = len(faults) - _MAX_NAMED_FAULTS
        super().__init__(
            f"the raw data in {source} must have no faults; found "
            f"{len(faults)} fault{'s' * (len(faults) > 1)}: {named}"
            f"{f'; and {more} more' if more > 0 else ''}; fix them and run "
            "again"
        )


class Findings:
    """Collects the faults of a data set, and notes for its report."""

    def __init__(self, report: Report):
        self.faults: dict[str, None] = {}  # as an ordered set
        self.note = report.note

    def fault(self, where: str, what: str) -> None:
        """Adds a fault once: where it is, and what is wrong, in one line."""
        self.faults[f"{_shortened(where)}: {_shortened(what)}"] = None

    def raise_any(self, source: str) -> None:
        """Raises FaultsError if there is a fault."""
        if self.faults:
            raise FaultsError(source, list(self.faults))


def _shortened(text: str) -> str:
    """The printable form of a text, without its middle if it is long."""
    text, half = printable(text), _MAX_CHARACTERS // 2
    if len(text) <= _MAX_CHARACTERS:
        return text
    return f"{text[:half]}[...]{text[-half:]}"


def check_name(name: str, where: str, findings: Findings) -> bool:
    """Whether a name is a path below its folder; adds a fault if not."""
    inside = not {"", ".", ".."} & set(name.split("/"))
    if not inside:
        findings.fault(
            where, f"a name must be a path below its folder; found {name}"
        )
    return inside


def read_lines(
    root: str, where: str, findings: Findings
) -> list[tuple[int, str]]:
    """The lines of `root`/`where` that are not blank, numbered and stripped.

    Carriage returns and byte order marks are removed, and noted. Lines that
    are not UTF-8, and unreadable files, are faults.
    """
    try:
        data = read_file(os.path.join(root, where))
    except OSError as error:
        findings.fault(where, f"must be a text file: {error.strerror}")
        return []
    if other := _other_content(data):
        findings.fault(where, f"must be a text file in UTF-8; found {other}")
        return []
    if data.startswith(codecs.BOM_UTF8):
        data = data.removeprefix(codecs.BOM_UTF8)
        findings.note("byte order mark removed", where)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        findings.note("carriage returns removed", where)
    lines, others = [], []
    for number, raw in enumerate(data.split(b"\n"), start=1):
        try:
            line = raw.decode().strip()
        except UnicodeDecodeError as error:
            others.append((number, raw[error.start]))
            continue
        if line:
            lines.append((number, line))
    if others:
        (number, byte), more = others[0], len(others) - 1
        findings.fault(
            f"{where} line {number}",
            f"must be UTF-8; found byte 0x{byte:02x}"
            + f"; {more} more lines are not" * (more > 0),
        )
    return lines


def _other_content(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    index = data.find(0)  # such as UTF-16 without a byte order mark
    return f"a zero byte at {index}" if index >= 0 else ""


def read_captions(
    root: str, where: str, min_count: int, findings: Findings
) -> list[str]:
    """The captions of a file, one per line; see `check_captions`."""
    faults = len(findings.faults)
    lines = read_lines(root, where, findings)
    if len(findings.faults) > faults:
        return []
    located = [(f"{where} line {number}", line) for number, line in lines]
    return check_captions(located, where, min_count, findings)


def check_captions(
    captions: Iterable[tuple[str, str]],
    where: str,
    min_count: int,
    findings: Findings,
) -> list[str]:
    """The captions of an image that contain a word of the tokenizer.

    The others are noted. A caption that is too long is a fault, as are fewer
    captions than `min_count`.

    Args:
      captions: pairs of a caption's location and its text.
      where: the location of the whole list.
      min_count: minimum number of captions.
      findings: receives faults and notes.
    """
    found = []
    for location, caption in captions:
        size = len(caption.encode("utf-8", "replace"))
        if not _WORD.search(caption.lower()):
            findings.note("captions without a word left out", location)
        elif size > _MAX_CAPTION:
            problem = f"must have at most {_MAX_CAPTION} bytes; found {size}"
            findings.fault(location, problem)
        else:
            if "\ufffd" in caption:
                findings.note("captions with U+FFFD (damaged before)", location)
            found.append(caption)
    if len(found) < min_count:
        findings.fault(
            where,
            f"must hold {min_count} captions (--captions_per_image); found "
            f"{len(found) or 'none'}",
        )
    return found
