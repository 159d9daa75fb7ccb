"""Checks the raw data's text files, and collects all faults."""

import os
from collections.abc import Iterable

from attngan_tf.data.files import read_file
from attngan_tf.data.records import Report
from attngan_tf.data.tokenizer import has_letters_outside_ascii, has_word
from attngan_tf.errors import UserError, printable
from attngan_tf.io.text import NotUtf8Error, numbered_lines, utf8

_MAX_CAPTION = 2**16  # bytes


class FaultsError(UserError):
    """Raw data that cannot be used; `faults` has a line for each fault."""

    def __init__(self, source: str, faults: list[str]):
        self.faults = faults
        super().__init__(
            f"the raw data in {source} must have no faults; found "
            f"{len(faults)}, the first: {faults[0]}; fix them and run again"
        )


class Findings:
    """Collects the faults of a data set, and notes for its report.

    Args:
      report: receives the notes.
      tokenizer: see `tokenizer.tokenize`.
    """

    def __init__(self, report: Report, tokenizer: str = "ascii"):
        self.faults: dict[str, None] = {}  # as an ordered set
        self.tokenizer = tokenizer
        self.note = report.note

    def fault(self, where: str, what: str) -> None:
        """Adds a fault once: where it is, and what is wrong, in one line."""
        self.faults[printable(f"{where}: {what}")] = None

    def raise_any(self, source: str) -> None:
        """Raises FaultsError if there is a fault."""
        if self.faults:
            raise FaultsError(source, list(self.faults))


def check_name(name: str, where: str, findings: Findings) -> bool:
    """Whether a name is a path below its folder; adds a fault if not."""
    inside = not {"", ".", ".."} & set(name.split("/"))
    if not inside:
        findings.fault(
            where, f"a name must be a path below its folder; found {name}"
        )
    return inside


def read_text(root: str, where: str, findings: Findings) -> str:
    """The text of `root`/`where`.

    A file that cannot be read, or is not UTF-8, is a fault, and reads as "".
    """
    try:
        return utf8(read_file(os.path.join(root, where)))
    except OSError as error:
        findings.fault(where, f"must be a text file: {error.strerror}")
    except NotUtf8Error as error:
        problem = f"must be UTF-8; found {error}; save it as UTF-8"
        findings.fault(where + error.where, problem)
    return ""


def read_lines(
    root: str, where: str, findings: Findings
) -> list[tuple[int, str]]:
    """The lines of a text that are not blank, numbered and stripped."""
    return numbered_lines(read_text(root, where, findings))


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

    The others are noted. A caption of more than 64 kB is a fault, as are fewer
    captions than `min_count`.

    Args:
      captions: pairs of a caption's location and its text.
      where: the location of the whole list.
      min_count: minimum number of captions.
      findings: receives faults and notes.
    """
    found, without_word = [], 0
    ascii_only = findings.tokenizer == "ascii"
    for location, caption in captions:
        size = len(caption.encode())
        if not has_word(caption, findings.tokenizer):
            findings.note("captions without a word left out", location)
            without_word += 1
        elif size > _MAX_CAPTION:
            problem = f"must have at most {_MAX_CAPTION} bytes; found {size}"
            findings.fault(location, problem)
        else:
            found.append(caption)
            if ascii_only and has_letters_outside_ascii(caption):
                kind = "captions with letters that --tokenizer=ascii leaves out"
                findings.note(f"{kind} (unicode does not)", location)
            if "\ufffd" in caption:
                findings.note("captions with U+FFFD (damaged before)", location)
    if len(found) < min_count:
        findings.fault(
            where,
            f"must hold {min_count} captions (--captions_per_image); found "
            f"{len(found) or 'none'}"
            + f", and {without_word} without a word of "
            f"--tokenizer={findings.tokenizer}" * (without_word > 0),
        )
    return found
