"""Text files of the raw data: read as they should be, or named as faults."""

import os

import pytest

from attngan_tf.data import findings
from attngan_tf.data.files import read_file
from attngan_tf.data.records import Report

NONE = "must hold 1 captions (--captions_per_image); found none"
NOT_UTF8 = "must be UTF-8; found byte 0x"
ZERO = "must be a text file in UTF-8; found a zero byte at "
LINES = ["a bird", "a red bird", "a bird that flies"]


@pytest.fixture
def read(tmp_path):
    """Reads captions from a file of these bytes: captions, faults, notes."""

    def captions(content: bytes):
        (tmp_path / "a.txt").write_bytes(content)
        report = Report()
        found = findings.Findings(report)
        lines = findings.read_captions(str(tmp_path), "a.txt", 1, found)
        return lines, list(found.faults), report.notes

    return captions


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a b\0ird\n", f"a.txt: {ZERO}3"),
        ("a bird".encode("utf-16"), "a.txt: must be a text file in UTF-8; fou"),
        ("a bird".encode("utf-16-le"), f"a.txt: {ZERO}1"),
        (b"fine\na caf\xe9\nfine\n", f"a.txt line 2: {NOT_UTF8}e9"),
        (b"a bird\xc0\xaf\n", f"a.txt line 1: {NOT_UTF8}c0"),  # overlong
        (b"a bird\xed\xa0\x80\n", f"a.txt line 1: {NOT_UTF8}ed"),  # surrogate
        (b"a bird\xe2\x82", f"a.txt line 1: {NOT_UTF8}e2"),  # truncated
        (b"bird " * 20000, "a.txt line 1: must have at most 65536 bytes; fou"),
        (b"", f"a.txt: {NONE}"),
        (b" \n\t\n\r\n\x0b\x0c\n", f"a.txt: {NONE}"),
        (b"!?\n...\n,;:-()\n", f"a.txt: {NONE}"),
        ("🐦🦜\n一只红色的鸟\n\u200b".encode(), f"a.txt: {NONE}"),
    ],
)
def test_other_texts_are_a_fault(read, content, fault):
    captions, faults, _ = read(content)
    assert captions == []
    assert faults[0].startswith(fault)
    assert len(faults) == 1 or "must have at most" in fault


def test_lines_that_are_not_utf8_are_counted(read):
    _, faults, _ = read(b"fine\n" + b"\xff\n" * 30)
    assert faults == [f"a.txt line 2: {NOT_UTF8}ff; 29 more lines are not"]


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ("\ufeff" + "\n".join(LINES), LINES),
        ("\r".join(LINES), LINES),
        ("a bird\r\na red bird\ra bird that flies\n\r", LINES),
        (f"!?\n{LINES[0]}\n...\n{LINES[1]}\n一只\n  {LINES[2]}  ", LINES),
        ("a \u202edrib\u202c bird\u2028that\u0085flies", None),
        ("a \x01\x02\x08\x7f bird\x1b[2J", None),
        ("%s %n {0} {__class__} ${HOME} $(id) bird", None),
        ("a" + "\u0301" * 9999 + " bird", None),
        ("bird " * 12000 + "x", None),
    ],
)
def test_unusual_captions_are_read(read, text, captions):
    expected = captions or [text]
    assert read(text.encode())[:2] == (expected, [])


def test_what_is_removed_or_odd_is_noted(read):
    content = "\ufeffan owl\r\n\r\n!?\nsm\ufffdll über owl"
    captions, faults, notes = read(content.encode())
    assert captions == ["an owl", "sm\ufffdll über owl"]
    assert faults == []
    assert notes == {
        "byte order mark removed": ["a.txt"],
        "carriage returns removed": ["a.txt"],
        "captions without a word left out": ["a.txt line 3"],
        "captions with U+FFFD (damaged before)": ["a.txt line 4"],
    }


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        *((name, False) for name in ("../a", "/etc/a", "./a", "a//b", "")),
        *((name, True) for name in ("a", "a/b", "..a", ".a/b..", "--help")),
    ],
)
def test_names_stay_below_their_folder(name, inside):
    found = findings.Findings(Report())
    assert findings.check_name(name, "train.txt line 1", found) == inside
    assert bool(found.faults) != inside


def test_faults_are_short_printable_lines():
    found = findings.Findings(Report())
    found.fault("a\x1b]0;title\x07\u202e\n", "x" * 1000)
    (fault,) = found.faults
    assert fault.startswith(r"a\x1b]0;title\x07\u202e\n: xxx")
    assert len(fault) < 400
    with pytest.raises(findings.FaultsError) as raised:
        found.raise_any("/data")
    assert raised.value.faults == [fault]


def _sparse(path):
    with open(path, "wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "not a regular file"),  # reading it would wait for ever
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (os.mkdir, "Is a directory"),
        (_sparse, "1099511627776 bytes, more than 268435456"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_file_is_not_read(tmp_path, make, reason):
    make(tmp_path / "a")
    with pytest.raises(OSError, match=reason):
        read_file(str(tmp_path / "a"))
    with pytest.raises(OSError, match="no file can have this name"):
        read_file("a\0b")
