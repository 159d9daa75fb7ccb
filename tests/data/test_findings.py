"""Text files of the raw data: read as they should be, or named as faults."""

import os

import pytest

from attngan_tf.data import findings
from attngan_tf.data.files import read_file
from attngan_tf.data.records import Report

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
        ("a bird".encode("utf-16-le"), ": must be UTF-8; found a zero byte"),
        ("a bird".encode("utf-16"), " line 1: must be UTF-8; found byte 0xff"),
        (b"fine\ncaf\xe9\n\xff", " line 2: must be UTF-8; found byte 0xe9"),
        (b"", ": must hold 1 captions (--captions_per_image); found none"),
        (
            "!?\n \n一只红色的鸟".encode(),
            ": must hold 1 captions (--captions_per_image); found none, and 2 "
            "without a word of --tokenizer=ascii",
        ),
    ],
)
def test_other_texts_are_a_fault(read, content, fault):
    captions, faults, _ = read(content)
    assert captions == []
    assert len(faults) == 1
    assert faults[0].startswith(f"a.txt{fault}")


def test_a_caption_has_at_most_64_kb(read):
    assert read(b"a" * 2**16)[1] == []
    assert read(b"fine\n" + b"a" * 2**16 + b"b")[1] == [
        "a.txt line 2: must have at most 65536 bytes; found 65537"
    ]


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ("\ufeff" + "\n".join(LINES), LINES),
        ("a bird\r\na red bird\ra bird that flies\n\r", LINES),
        (f"\n{LINES[0]}\n  {LINES[1]}  \n{LINES[2]}", LINES),
        ("a bird\u2028that\u0085flies\x0c", ["a bird\u2028that\u0085flies"]),
    ],
)
def test_captions_are_lines(read, text, captions):
    assert read(text.encode()) == (captions, [], {})


def test_odd_captions_are_noted(read):
    captions, faults, notes = read("an owl\n\n!?\nsm\ufffdll".encode())
    assert (captions, faults) == (["an owl", "sm\ufffdll"], [])
    assert notes == {
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


def test_faults_are_printable_lines():
    found = findings.Findings(Report())
    found.fault("a\x1b]0;title\x07\u202e\n", "damaged")
    (fault,) = found.faults
    assert fault == r"a\x1b]0;title\x07\u202e\n: damaged"
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
        (os.mkdir, "not a regular file"),
        (_sparse, "more than 268435456 bytes"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_file_is_not_read(tmp_path, make, reason):
    make(tmp_path / "a")
    with pytest.raises(OSError, match=reason):
        read_file(str(tmp_path / "a"))
    with pytest.raises(OSError, match="no file can have this name"):
        read_file("a\0b")
