"""Data sets by name: where they are prepared to, and when again."""

import os
import shutil
import time

import pytest
import tensorflow_datasets as tfds

from attngan_tf.data import catalog, files
from attngan_tf.errors import UserError


def test_prepared_dir_is_tfdss_if_not_named(raw_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    builder = catalog.open_builder("folder", str(raw_folder.root))
    assert builder.data_dir.startswith(str(tmp_path / "tfds"))
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    builder = catalog.open_builder("folder", str(raw_folder.root))
    home = tmp_path / "home" / "tensorflow_datasets"
    assert builder.data_dir.startswith(str(home))
    builder = catalog.open_builder("demo", "", str(tmp_path / "named"))
    assert builder.data_dir.startswith(str(tmp_path / "named"))


def place(folder, captions=0):
    prepared = str(folder.root.parent / "prepared")
    return catalog.open_builder(
        "folder", str(folder.root), prepared, captions
    ).data_dir


def test_changed_data_has_another_place(raw_folder):
    first = place(raw_folder)
    assert os.path.basename(os.path.dirname(first)).startswith("raw-")
    assert place(raw_folder) == first
    raw_folder.write("notes.md", "not read")
    assert place(raw_folder) == first
    seen = {first, place(raw_folder, captions=2)}
    for change in (
        lambda: raw_folder.write("text/c.Owl/o1.txt", "another caption\n"),
        lambda: raw_folder.add("new", "train"),
        lambda: (raw_folder.root / "images/new.jpg").unlink(),
        lambda: os.utime(raw_folder.root / "train.txt", ns=(0, 1)),
    ):
        change()
        assert place(raw_folder) not in seen
        seen.add(place(raw_folder))
    moved = shutil.copytree(raw_folder.root, raw_folder.root.with_name("b"))
    raw_folder.root = moved
    assert place(raw_folder) not in seen


def test_changed_data_is_prepared_again(raw_folder, tmp_path):
    for captions in (6, 7):
        builder = catalog.open_builder(
            "folder", str(raw_folder.root), str(tmp_path / "prepared")
        )
        assert catalog.prepare(builder).captions["test"] == captions
        with open(raw_folder.root / "text/c.Owl/o1.txt", "a") as file:
            file.write("one more\n")


def test_odd_names_of_folders(raw_folder, tmp_path):
    odd = raw_folder.root.rename(tmp_path / "vögel & more (1)")
    builder = catalog.open_builder("folder", f"{odd}/", str(tmp_path / "p"))
    name = builder.builder_config.name
    assert name.startswith("v_gel___more__1_-")
    assert catalog.prepare(builder).pictures == {"train": 4, "test": 2}


def test_prepared_data_needs_no_code_of_ours(raw_folder, tmp_path):
    builder = catalog.open_builder(
        "folder", str(raw_folder.root), str(tmp_path / "prepared")
    )
    catalog.prepare(builder)
    records = tfds.builder_from_directory(builder.data_dir)
    assert len(records.as_data_source("train")) == 4


def test_linked_folders_are_followed(raw_folder, tmp_path):
    real = raw_folder.root.with_name("elsewhere")
    (raw_folder.root / "images").rename(real)
    (raw_folder.root / "images").symlink_to(real)
    (real / "loop").symlink_to(real)
    (real / "nothing.jpg").symlink_to(real / "missing.jpg")
    builder = catalog.open_builder(
        "folder", str(raw_folder.root), str(tmp_path / "prepared")
    )
    assert catalog.prepare(builder).pictures == {"train": 4, "test": 2}


@pytest.mark.parametrize("dataset", ["folder", "cub", "coco"])
def test_data_dir_must_be_there(dataset, tmp_path):
    missing = str(tmp_path / "none")
    with pytest.raises(UserError, match=f"--dataset={dataset}.*{missing}"):
        catalog.open_builder(dataset, missing, str(tmp_path))


def test_prepared_dir_must_be_a_folder(raw_folder):
    file = raw_folder.write("file", "")
    builder = catalog.open_builder("folder", str(raw_folder.root), str(file))
    with pytest.raises(UserError, match="--prepared_dir must be a folder"):
        catalog.prepare(builder)


def test_demo_has_no_captions_to_count(tmp_path):
    with pytest.raises(UserError, match="--captions_per_image is for data in"):
        catalog.open_builder("demo", "", str(tmp_path), 5)


def test_listing_of_many_files_is_fast(tmp_path):
    for i in range(100):
        folder = tmp_path / "images" / str(i)
        folder.mkdir(parents=True)
        for j in range(120):
            (folder / f"{j}.jpg").touch()
    start = time.perf_counter()
    found = files.listing(str(tmp_path), ["images"])
    name = files.config_name(str(tmp_path), found, 1)
    seconds = time.perf_counter() - start
    assert len(found) == 12000
    assert name.startswith(tmp_path.name[:4])
    assert seconds < 10  # 0.1 s when nothing else runs


@pytest.mark.slow
def test_real_birds(shared_data, tmp_path):
    builder = catalog.open_builder(
        "folder", str(shared_data / "cub227"), str(tmp_path), 10
    )
    report = catalog.prepare(builder)
    assert report.pictures == {"train": 4544, "test": 1358}
    assert report.captions == {"train": 45440, "test": 13580}
    # No-break spaces that were lost before the captions came to us.
    assert {kind: len(places) for kind, places in report.notes.items()} == {
        "captions with U+FFFD (damaged before)": 29
    }
    test = builder.as_data_source(
        "test", decoders={"image": tfds.decode.SkipDecoding()}
    )
    ids = set()
    for record in test:
        name = record["name"].decode()
        path = shared_data / "cub227" / "images" / f"{name}.jpg"
        assert record["image"] == path.read_bytes()
        ids.add(record["class_id"])
    assert len(ids) == 23
