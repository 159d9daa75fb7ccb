"""A user's own data: read as it is, every fault found in one run."""

import os
import shutil

import pytest

from attngan_tf.data import images
from attngan_tf.errors import UserError
from tests.data.helpers import check_faults, records


def test_records_equal_the_files(raw_folder, prepare):
    for name in ("z", "y"):  # images without a class
        raw_folder.add(name, "test")
    for name in ("(1) it's --help $(id); %s{0}", "vögel/\u202eküken"):
        raw_folder.add(f"a.Gull/{name}", "train")
    before = sorted(raw_folder.root.rglob("*"))
    times = [os.stat(path).st_mtime_ns for path in before]
    builder, report = prepare(raw_folder.root)
    found = records(builder)
    ids = {name: int(record["class_id"]) for name, record in found.items()}
    assert ids == {
        **{"a.Gull/g1": 0, "a.Gull/g2": 0, "b.Wren/w1": 2, "b.Wren/w2": 2},
        **{"c.Owl/o1": 3, "c.Owl/o2": 3, "z": 4, "y": 5},
        "a.Gull/(1) it's --help $(id); %s{0}": 0,
        "a.Gull/vögel/\u202eküken": 1,
    }
    assert set(records(builder, "test")) == {"c.Owl/o1", "c.Owl/o2", "z", "y"}
    for name, record in found.items():
        assert record["image"] == raw_folder.read(f"images/{name}.jpg")
        assert record["crop"].tolist() == [0, 0, 0, 0]
        lines = raw_folder.read(f"text/{name}.txt").splitlines()
        assert list(record["captions"]) == lines
    assert report.pictures == {"train": 6, "test": 4}
    assert report.captions == {"train": 18, "test": 12}
    (note,) = report.notes  # the captions contain "vögel"
    assert note.startswith("captions with letters that --tokenizer=ascii")
    assert sorted(raw_folder.root.rglob("*")) == before
    assert [os.stat(path).st_mtime_ns for path in before] == times


def test_conversions_are_noted(raw_folder, prepare):
    raw_folder.add("p1", "train", ending="PNG", kind="PNG")
    raw_folder.add("p2", "test", ending="webp", kind="WEBP", lossless=True)
    raw_folder.add("p3", "test", ending="jpg", kind="PNG", mode="L")
    builder, report = prepare(raw_folder.root)
    found = records(builder)
    assert found["p1"]["image"] == raw_folder.read("images/p1.PNG")
    webp = raw_folder.read("images/p2.webp")
    assert found["p2"]["image"] == images.to_png(webp)
    assert report.notes == {
        "converted to PNG: WEBP": ["images/p2.webp"],
        "converted to PNG: greyscale": ["images/p3.jpg"],
    }


def test_images_in_no_list_are_noted(raw_folder, prepare):
    raw_folder.write("images/x.jpg", "never read")
    with open(os.fsencode(raw_folder.root) + b"/images/\xe9.jpg", "wb"):
        pass
    _, report = prepare(raw_folder.root)
    assert report.notes == {
        "images in no list": ["images/x.jpg", "images/\\udce9.jpg"],
    }
    assert report.pictures == {"train": 4, "test": 2}


def damage_everything(folder):
    """One fault of each kind; returns the beginning of each fault's line."""
    whole = folder.read("images/b.Wren/w1.jpg")
    for i in range(5):
        folder.add(f"n{i}", "train")
    (folder.root / "images/n0.jpg").unlink()
    folder.write("images/n1.jpg", whole[: len(whole) // 2])
    (folder.root / "text/n2.txt").unlink()
    folder.write("text/n3.txt", "one\ntwo\n")
    folder.write("images/n4.png", whole)
    folder.append("train.txt", "a.Gull/g1\nc.Owl/o1\nO1\n")
    folder.append("test.txt", "../../outside\n")
    folder.write("../outside.jpg", whole)
    listed = "an image must be listed once; this one is in train, and again in"
    return [
        f"images/a.Gull/g1.jpg: {listed} train",
        f"images/c.Owl/o1.jpg: {listed} test",
        "images/n0.*: must be a .jpg, .jpeg, .png, .webp, .gif, .bmp, .tif or "
        ".tiff; found none",
        "images/n1.jpg: truncated or damaged",
        "text/n2.txt: must be a text file: No such file or directory",
        "text/n3.txt: must hold 3 captions (--captions_per_image); found 2",
        "images/n4.*: must be one file; found images/n4.jpg and images/n4.png",
        "images/O1.*: must be a .jpg, .jpeg, .png, .webp, .gif, .bmp, .tif or "
        ".tiff; found none; is images/c.Owl/o1.jpg meant?",
        "test.txt line 3: a name must be a path below its folder; found "
        "../../outside",
    ]


def test_all_faults_are_listed_at_once(raw_folder, prepare, capsys):
    expected = damage_everything(raw_folder)
    faults = prepare.faults(raw_folder.root, captions=3)
    check_faults(faults, expected)
    printed = capsys.readouterr().err.replace("\r", "\n").splitlines()
    lines = [line for line in printed if line.startswith("fault: ")]
    assert lines == [f"fault: {fault}" for fault in faults]


def test_lists_are_read_as_tools_write_them(raw_folder, prepare):
    raw_folder.write(
        "train.txt",
        "./a.Gull/g1\nimages/a.Gull/g2.jpg\nb.Wren\\w1\nb.Wren/w2.jpg\n",
    )
    builder, report = prepare(raw_folder.root)
    assert set(records(builder)) == {
        *("a.Gull/g1", "a.Gull/g2", "b.Wren/w1", "b.Wren/w2"),
        *("c.Owl/o1", "c.Owl/o2"),
    }
    assert report.notes == {}


def test_names_of_other_systems(raw_folder, prepare):
    """MacOS decomposes letters with accents; Windows may write .TXT."""
    raw_folder.add("v\u00f6gel", "train")
    for kind, old, new in (("images", "jpg", "jpg"), ("text", "txt", "TXT")):
        file = raw_folder.root / kind / f"v\u00f6gel.{old}"
        file.rename(file.with_name(f"vo\u0308gel.{new}"))
    found = records(prepare(raw_folder.root)[0])["v\u00f6gel"]
    assert found["image"] == raw_folder.read("images/vo\u0308gel.jpg")


def test_links_to_one_folder(raw_folder, prepare):
    """A folder may be reached in two ways; each has names of its own."""
    root, both = raw_folder.root, raw_folder.root / "both"
    shutil.copytree(root / "images", both)
    shutil.copytree(root / "text", both, dirs_exist_ok=True)
    (both / "d.Gull").symlink_to(both / "a.Gull")
    for kind in ("images", "text"):
        shutil.rmtree(root / kind)
        (root / kind).symlink_to(both)
    raw_folder.append("train.txt", "d.Gull/g1\n")
    found = records(prepare(root)[0])
    assert found["d.Gull/g1"]["image"] == found["a.Gull/g1"]["image"]


def test_captions_per_image_is_a_minimum(raw_folder, prepare):
    raw_folder.write("text/c.Owl/o1.txt", "one\ntwo\nthree\nfour\n")
    raw_folder.write("text/c.Owl/o2.txt", "one\n")
    assert len(prepare.faults(raw_folder.root, captions=2)) == 1
    found = records(prepare(raw_folder.root, captions=1)[0])
    assert len(found["c.Owl/o1"]["captions"]) == 4
    assert len(found["c.Owl/o2"]["captions"]) == 1


@pytest.mark.parametrize("part", ["images", "text", "train.txt", "test.txt"])
def test_missing_parts_are_named(raw_folder, prepare, part):
    path = raw_folder.root / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=f"lacks {part}$"):
        prepare(raw_folder.root)


def test_an_empty_list_is_a_fault(raw_folder, prepare):
    raw_folder.write("test.txt", "\n")
    assert prepare.faults(raw_folder.root) == [
        "test: must have an image; found none"
    ]
