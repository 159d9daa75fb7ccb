"""Anybody's own data: read as it is, every fault found in one run."""

import os
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from attngan_tf.data import catalog, pictures
from attngan_tf.data.raw import FaultsError
from attngan_tf.errors import UserError


def prepare(folder, prepared, captions=0):
    builder = catalog.open_builder(
        "folder", str(folder.root), str(prepared), captions
    )
    return builder, catalog.prepare(builder)


def records(builder, split):
    source = builder.as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    return {record["name"].decode(): record for record in source}


def faults_of(folder, prepared, captions=0):
    with pytest.raises(FaultsError) as error:
        prepare(folder, prepared, captions)
    assert "\n" not in str(error.value)
    assert f"found {len(error.value.faults)} fault" in str(error.value)
    assert not [path for path in prepared.rglob("*") if path.is_file()]
    return error.value.faults


def test_whole_data_comes_back_as_it_was(raw_folder, tmp_path):
    builder, report = prepare(raw_folder, tmp_path / "prepared")
    train, test = records(builder, "train"), records(builder, "test")
    assert list(map(sorted, (train, test))) == [
        ["a.Gull/g1", "a.Gull/g2", "b.Wren/w1", "b.Wren/w2"],
        ["c.Owl/o1", "c.Owl/o2"],
    ]
    for name, record in {**train, **test}.items():
        assert record["image"] == raw_folder.read(f"images/{name}.jpg")
        assert record["crop"].tolist() == [0, 0, 0, 0]
        lines = raw_folder.read(f"text/{name}.txt").splitlines()
        assert list(record["captions"]) == lines
        # The index of the sorted class names.
        assert record["class_id"] == "abc".index(name[0])
    assert report.pictures == {"train": 4, "test": 2}
    assert report.captions == {"train": 12, "test": 6}
    assert report.notes == {}


def test_pictures_without_class_are_classes_of_their_own(tmp_path, raw_folder):
    for name in ("z", "y"):
        raw_folder.add(name, "test")
    builder, _ = prepare(raw_folder, tmp_path / "prepared")
    test = records(builder, "test")
    ids = [int(test[name]["class_id"]) for name in ("c.Owl/o1", "z", "y")]
    assert ids == [2, 3, 4]


def test_other_endings_are_read(raw_folder, tmp_path):
    raw_folder.add("p1", "train", ending="png", kind="PNG")
    raw_folder.add("p2", "train", ending="JPEG")
    raw_folder.add("p3", "train", ending="webp", kind="WEBP", lossless=True)
    builder, report = prepare(raw_folder, tmp_path / "prepared")
    train = records(builder, "train")
    assert train["p1"]["image"] == raw_folder.read("images/p1.png")
    assert train["p2"]["image"] == raw_folder.read("images/p2.JPEG")
    pixels = np.asarray(Image.open(raw_folder.root / "images/p3.webp"))
    decoded = builder.info.features["image"].decode_example(
        train["p3"]["image"]
    )
    np.testing.assert_array_equal(decoded, pixels)
    assert report.notes == {"converted to PNG: WEBP": ["images/p3.webp"]}


def test_conversions_are_counted_and_written(raw_folder, tmp_path):
    raw_folder.add("m1", "train", mode="CMYK")
    raw_folder.add("m2", "train", mode="L")
    raw_folder.add("m3", "test", mode="L", ending="png", kind="PNG")
    builder, report = prepare(raw_folder, tmp_path / "prepared")
    assert report.notes == {
        "converted to PNG: CMYK": ["images/m1.jpg"],
        "converted to PNG: greyscale": ["images/m2.jpg", "images/m3.png"],
    }
    stored = {**records(builder, "train"), **records(builder, "test")}
    for name in ("m1", "m2", "m3"):
        picture = pictures.inspect(stored[name]["image"])
        assert picture == pictures.Picture(40, 30, "")


def test_text_oddities_are_mended_and_noted(raw_folder, tmp_path):
    root = raw_folder.root
    names = (root / "train.txt").read_text()
    raw_folder.write(
        "train.txt", "\ufeff" + names.replace("\n", "\r\n") + "\r\n\n"
    )
    raw_folder.write(
        "text/c.Owl/o1.txt",
        "\ufeffan owl\r\n\n  it is gray \n!?\nsm\ufffdll über owl",
    )
    builder, report = prepare(raw_folder, tmp_path / "prepared")
    captions = records(builder, "test")["c.Owl/o1"]["captions"]
    assert [text.decode() for text in captions] == [
        "an owl",
        "it is gray",
        "sm\ufffdll über owl",
    ]
    file = "text/c.Owl/o1.txt"
    assert report.notes == {
        "byte order mark removed": ["train.txt", file],
        "carriage returns removed": ["train.txt", file],
        "captions without a word left out": [f"{file} line 4"],
        "captions with U+FFFD (damaged before)": [f"{file} line 5"],
    }
    assert report.pictures == {"train": 4, "test": 2}


def damage_everything(folder):
    """One fault of each kind; returns a part of each fault's line."""
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
    for i in range(3):
        folder.add(f"e{i}", "test")
    folder.write("images/e0.png", whole)
    (root / "images/e1.jpg").unlink()
    (root / "images/e1.jpg").mkdir()
    folder.write("text/e2.txt", "! ! !\n...\n")
    with open(root / "train.txt", "a", encoding="utf-8") as file:
        file.write("a.Gull/g1\nc.Owl/o1\nc.Owl/o2.jpg\n")
    with open(root / "test.txt", "ab") as file:
        file.write(b"caf\xe9\n")
    return [
        "train.txt line 13: a name must stand once; a.Gull/g1 stands in line 3",
        "c.Owl/o1: a picture must be in one split; this one is in train.txt",
        "images/n0.*: a .jpg, .jpeg, .png or .webp must be there",
        "images/n1.jpg: truncated",
        "images/n2.jpg: empty file (zero bytes)",
        "images/n3.jpg: not a picture of a known format",
        "text/n4.txt: must be a text file: No such file",
        "text/n5.txt: must hold 3 captions (--captions_per_image); found none",
        "text/n6.txt: must hold 3 captions (--captions_per_image); found 2",
        "text/n7.txt line 2: must be UTF-8; found byte 0xe9",
        "e0: a name must have one picture; found images/e0.jpg and images/e0.p",
        "images/e1.*: a .jpg, .jpeg, .png or .webp must be there",
        "text/e2.txt: must hold 3 captions (--captions_per_image); found none",
        "images/c.Owl/o2.jpg.*: a .jpg, .jpeg, .png or .webp must be there; "
        "write names without ending",
        "text/c.Owl/o2.jpg.txt: must be a text file: No such file",
        "test.txt line 6: must be UTF-8; found byte 0xe9",
    ]


def test_every_fault_is_found_in_one_run(raw_folder, tmp_path, capsys):
    expected = damage_everything(raw_folder)
    faults = faults_of(raw_folder, tmp_path / "prepared", captions=3)
    for part in expected:
        assert sum(fault.startswith(part) for fault in faults) == 1, part
    assert len(faults) == len(expected)
    printed = capsys.readouterr().err.replace("\r", "\n").splitlines()
    lines = [line for line in printed if line.startswith("fault: ")]
    assert lines == [f"fault: {fault}" for fault in faults]


def test_number_of_captions_is_the_users_choice(raw_folder, tmp_path):
    raw_folder.write("text/c.Owl/o1.txt", "one\ntwo\nthree\nfour\n")
    raw_folder.write("text/c.Owl/o2.txt", "one\n")
    prepared = tmp_path / "prepared"
    assert faults_of(raw_folder, prepared, captions=2) == [
        "text/c.Owl/o2.txt: must hold 2 captions "
        "(--captions_per_image); found 1"
    ]
    builder, _ = prepare(raw_folder, prepared, captions=1)
    test = records(builder, "test")
    assert len(test["c.Owl/o1"]["captions"]) == 4  # more than asked for: kept
    assert len(test["c.Owl/o2"]["captions"]) == 1


@pytest.mark.parametrize("part", ["images", "text", "train.txt", "test.txt"])
def test_missing_parts_are_named(raw_folder, tmp_path, part):
    path = raw_folder.root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=f"lacks {part}$"):
        prepare(raw_folder, tmp_path / "prepared")


def test_an_empty_list_is_a_fault(raw_folder, tmp_path):
    raw_folder.write("test.txt", "\n")
    assert faults_of(raw_folder, tmp_path / "prepared") == [
        "test.txt: must name pictures, one a line; found none"
    ]


def test_unlisted_pictures_are_noted(raw_folder, tmp_path):
    shutil.copy(
        raw_folder.root / "images/c.Owl/o1.jpg",
        raw_folder.root / "images/x.jpg",
    )
    _, report = prepare(raw_folder, tmp_path / "prepared")
    assert report.notes == {"pictures in no list": ["images/x.jpg"]}


def test_names_cannot_leave_the_folder(raw_folder, tmp_path):
    raw_folder.write("../outside.jpg", raw_folder.read("images/c.Owl/o1.jpg"))
    raw_folder.write("test.txt", "../../outside\n")
    faults = faults_of(raw_folder, tmp_path / "prepared")
    assert faults == [
        "test.txt line 1: a name must be a path below its folder; found "
        "../../outside"
    ]


def test_raw_data_may_be_read_only(raw_folder, tmp_path):
    before = sorted(raw_folder.root.rglob("*"))
    times = [os.stat(path).st_mtime_ns for path in before]
    prepare(raw_folder, tmp_path / "prepared")
    assert sorted(raw_folder.root.rglob("*")) == before
    assert [os.stat(path).st_mtime_ns for path in before] == times


def test_pictures_with_fewer_captions_than_most_are_noted(raw_folder, tmp_path):
    """No number is asked for here, but a lost caption is not silent."""
    (path,) = list((raw_folder.root / "text").rglob("o2.txt"))
    path.write_text("\n".join(path.read_text().splitlines()[:1]))
    _, report = prepare(raw_folder, tmp_path)
    noted = [kind for kind in report.notes if kind.startswith("fewer than")]
    assert report.notes[noted[0]] == ["c.Owl/o2"]


def test_names_that_are_not_utf_8_can_be_printed(raw_folder, tmp_path):
    name = os.fsencode(raw_folder.root / "images") + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(b"in no list")
    _, report = prepare(raw_folder, tmp_path)
    assert report.notes["pictures in no list"] == [r"images/caf\udce9.jpg"]
    "\n".join(report.lines()).encode("utf-8")
