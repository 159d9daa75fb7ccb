"""A user's own data: read as it is, every fault found in one run."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from attngan_tf.data import images
from attngan_tf.errors import UserError
from tests.data.helpers import check_faults, records


def test_records_equal_the_files(raw_folder, prepare):
    for name in ("z", "y"):  # images without a class
        raw_folder.add(name, "test")
    before = sorted(raw_folder.root.rglob("*"))
    times = [os.stat(path).st_mtime_ns for path in before]
    builder, report = prepare(raw_folder.root)
    found = records(builder)
    ids = {name: int(record["class_id"]) for name, record in found.items()}
    assert ids == {
        **{"a.Gull/g1": 0, "a.Gull/g2": 0, "b.Wren/w1": 1, "b.Wren/w2": 1},
        **{"c.Owl/o1": 2, "c.Owl/o2": 2, "z": 3, "y": 4},
    }
    assert set(records(builder, "test")) == {"c.Owl/o1", "c.Owl/o2", "z", "y"}
    for name, record in found.items():
        assert record["image"] == raw_folder.read(f"images/{name}.jpg")
        assert record["crop"].tolist() == [0, 0, 0, 0]
        lines = raw_folder.read(f"text/{name}.txt").splitlines()
        assert list(record["captions"]) == lines
    assert report.pictures == {"train": 4, "test": 4}
    assert report.captions == {"train": 12, "test": 12}
    assert report.notes == {}
    assert sorted(raw_folder.root.rglob("*")) == before
    assert [os.stat(path).st_mtime_ns for path in before] == times


def test_other_formats_are_stored_or_converted(raw_folder, prepare):
    raw_folder.add("p1", "train", ending="png", kind="PNG")
    raw_folder.add("p2", "train", ending="JPEG")
    raw_folder.add("p3", "train", ending="webp", kind="WEBP", lossless=True)
    raw_folder.add("m1", "train", mode="CMYK")
    raw_folder.add("m2", "train", mode="L")
    raw_folder.add("m3", "test", mode="L", ending="png", kind="PNG")
    builder, report = prepare(raw_folder.root)
    found = records(builder)
    assert found["p1"]["image"] == raw_folder.read("images/p1.png")
    assert found["p2"]["image"] == raw_folder.read("images/p2.JPEG")
    pixels = np.asarray(Image.open(raw_folder.root / "images/p3.webp"))
    decode = builder.info.features["image"].decode_example
    np.testing.assert_array_equal(decode(found["p3"]["image"]), pixels)
    for name in ("p3", "m1", "m2", "m3"):
        info = images.inspect(found[name]["image"])
        assert info == images.ImageInfo(40, 30, "")
    assert report.notes == {
        "converted to PNG: CMYK": ["images/m1.jpg"],
        "converted to PNG: WEBP": ["images/p3.webp"],
        "converted to PNG: greyscale": ["images/m2.jpg", "images/m3.png"],
    }


def test_text_is_cleaned_and_noted(raw_folder, prepare):
    names = raw_folder.read("train.txt").decode()
    raw_folder.write(
        "train.txt", "\ufeff" + names.replace("\n", "\r\n") + "\r\n\n"
    )
    file = "text/c.Owl/o1.txt"
    raw_folder.write(
        file, "\ufeffan owl\r\n\n  it is gray \n!?\nsm\ufffdll über owl"
    )
    raw_folder.write("text/c.Owl/o2.txt", "one\ntwo\n")
    raw_folder.write("images/x.jpg", "never read")
    with open(os.fsencode(raw_folder.root) + b"/images/\xe9.jpg", "wb"):
        pass
    builder, report = prepare(raw_folder.root)
    captions = records(builder)["c.Owl/o1"]["captions"]
    assert [text.decode() for text in captions] == [
        "an owl",
        "it is gray",
        "sm\ufffdll über owl",
    ]
    assert report.notes == {
        "byte order mark removed": ["train.txt", file],
        "carriage returns removed": ["train.txt", file],
        "captions without a word left out": [f"{file} line 4"],
        "captions with U+FFFD (damaged before)": [f"{file} line 5"],
        "fewer than the usual 3 captions": ["c.Owl/o2"],
        "images in no list": ["images/x.jpg", "images/\\udce9.jpg"],
    }
    assert report.pictures == {"train": 4, "test": 2}
    "\n".join(report.lines()).encode("utf-8")  # it can be printed


def damage_everything(folder):
    """One fault of each kind; returns the beginning of each fault's line."""
    root, whole = folder.root, folder.read("images/b.Wren/w1.jpg")
    for i in range(8):
        folder.add(f"n{i}", "train")
    (root / "images/n0.jpg").unlink()
    folder.write("images/n1.jpg", whole[: len(whole) // 2])
    folder.write("images/n2.jpg", b"")
    folder.write("images/n3.jpg", b"<html>404</html>")
    (root / "text/n4.txt").unlink()
    folder.write("text/n5.txt", "\n \n")
    folder.write("text/n6.txt", "one\ntwo\n")
    folder.write("text/n7.txt", b"fine\na caf\xe9\nfine\n")
    for i in range(4):
        folder.add(f"e{i}", "test")
    folder.write("images/e0.png", whole)
    (root / "images/e1.jpg").unlink()
    (root / "images/e1.jpg").mkdir()
    folder.write("text/e2.txt", "! ! !\n...\n")
    (root / "images/e3.jpg").unlink()
    os.mkfifo(root / "images/e3.jpg")  # reading it would wait for ever
    folder.append("train.txt", "a.Gull/g1\nc.Owl/o1\nc.Owl/o2.jpg\n")
    folder.append("test.txt", b"caf\xe9\n../../outside\n")
    folder.write("../outside.jpg", whole)
    few = "must hold 3 captions (--captions_per_image); found"
    return [
        "train.txt line 13: a name must be listed once; a.Gull/g1 is in line 3",
        "c.Owl/o1: an image must be in one split; this one is in train.txt",
        "images/n0.*: a .jpg, .jpeg, .png or .webp must be there",
        "images/n1.jpg: truncated or damaged",
        "images/n2.jpg: empty file (zero bytes)",
        "images/n3.jpg: not an image of a known format",
        "text/n4.txt: must be a text file: No such file or directory",
        f"text/n5.txt: {few} none",
        f"text/n6.txt: {few} 2",
        "text/n7.txt line 2: must be UTF-8; found byte 0xe9",
        "e0: a name must have one image; found images/e0.jpg and images/e0.p",
        "images/e1.*: a .jpg, .jpeg, .png or .webp must be there",
        f"text/e2.txt: {few} none",
        "images/e3.jpg: cannot be read: It is not a regular file",
        "images/c.Owl/o2.jpg.*: a .jpg, .jpeg, .png or .webp must be there; "
        "write names without ending",
        "text/c.Owl/o2.jpg.txt: must be a text file: No such file",
        "test.txt line 7: must be UTF-8; found byte 0xe9",
        "test.txt line 8: a name must be a path below its folder; found "
        "../../outside",
    ]


def test_all_faults_are_listed_at_once(raw_folder, prepare, capsys):
    expected = damage_everything(raw_folder)
    faults = prepare.faults(raw_folder.root, captions=3)
    check_faults(faults, expected)
    printed = capsys.readouterr().err.replace("\r", "\n").splitlines()
    lines = [line for line in printed if line.startswith("fault: ")]
    assert lines == [f"fault: {fault}" for fault in faults]


def test_captions_per_image_is_a_minimum(raw_folder, prepare):
    raw_folder.write("text/c.Owl/o1.txt", "one\ntwo\nthree\nfour\n")
    raw_folder.write("text/c.Owl/o2.txt", "one\n")
    assert prepare.faults(raw_folder.root, captions=2) == [
        "text/c.Owl/o2.txt: must hold 2 captions "
        "(--captions_per_image); found 1"
    ]
    builder, _ = prepare(raw_folder.root, captions=1)
    found = records(builder)
    assert len(found["c.Owl/o1"]["captions"]) == 4
    assert len(found["c.Owl/o2"]["captions"]) == 1


@pytest.mark.parametrize("part", ["images", "text", "train.txt", "test.txt"])
def test_missing_parts_are_named(raw_folder, prepare, part):
    path = raw_folder.root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=f"lacks {part}$"):
        prepare(raw_folder.root)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\n", "must name images, one a line; found none"),
        (bytes(9), "must be a text file in UTF-8; found a zero byte at 0"),
        (
            "c.Owl/o1".encode("utf-16"),
            "must be a text file in UTF-8; found UTF",
        ),
    ],
)
def test_invalid_lists_are_a_fault(raw_folder, prepare, content, fault):
    raw_folder.write("test.txt", content)
    (found,) = prepare.faults(raw_folder.root)
    assert found.startswith(f"test.txt: {fault}")
