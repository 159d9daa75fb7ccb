"""Data sets by name: where they are prepared, and when again."""

import os
import shutil

import pytest
import tensorflow_datasets as tfds

from attngan_tf.data import catalog
from attngan_tf.errors import UserError
from tests.data import helpers


def test_default_of_prepared_dir_is_tfdss(raw_folder, tmp_path, monkeypatch):
    def folder(*arguments):
        return catalog.open_builder(*arguments).data_dir

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    root = str(raw_folder.root)
    assert folder("folder", root).startswith(str(tmp_path / "tfds"))
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    home = tmp_path / "home" / "tensorflow_datasets"
    assert folder("folder", root).startswith(str(home))
    named = tmp_path / "named"
    assert folder("demo", "", str(named)).startswith(str(named))


def test_fingerprint_changes_with_the_raw_data(raw_folder, prepare):
    def folder(captions=0):
        return prepare.open(raw_folder.root, captions).data_dir

    first = folder()
    assert os.path.basename(os.path.dirname(first)).startswith("raw-")
    raw_folder.write("notes.md", "not read")
    assert folder() == first
    seen = {first, folder(captions=2)}
    for change in (
        lambda: raw_folder.write("text/c.Owl/o1.txt", "another caption\n"),
        lambda: raw_folder.add("new", "train"),
        lambda: (raw_folder.root / "images/new.jpg").unlink(),
        lambda: os.utime(raw_folder.root / "train.txt", ns=(0, 1)),
    ):
        change()
        assert folder() not in seen
        seen.add(folder())
    raw_folder.root = shutil.copytree(raw_folder.root, prepare.prepared / "b")
    assert folder() not in seen


def test_fingerprint_of_earlier_versions(tmp_path, monkeypatch):
    """Data that users prepared before must be found again."""
    raw = helpers.make_raw_folder(tmp_path / "raw")
    (raw.root / "images" / "link").symlink_to(raw.root / "images")
    found = catalog.Folder.files(str(raw.root))
    assert {path: size for path, (size, _) in found.items()} == {
        str(path.relative_to(raw.root)): path.stat().st_size
        for path in helpers.files_below(raw.root)
        if "link" not in path.parts
    }
    files = {"train.txt": (40, 10**18), "images/a/caf\udce9.jpg": (7, 1)}
    name = catalog.config_name("/data/my birds", files, 10)
    # Computed by version 0.1.0.
    assert name == "my_birds-edfeb21b"


def test_changed_data_is_prepared_again(raw_folder, prepare):
    for captions in (6, 7):
        _, report = prepare(raw_folder.root)
        assert report.captions["test"] == captions
        raw_folder.append("text/c.Owl/o1.txt", "one more\n")


def test_unusual_folders(raw_folder, prepare):
    """Unusual names, links to folders, loops, and links to nothing."""
    folder = raw_folder.root.rename(raw_folder.root.parent / "vögel & (1)")
    real = folder.with_name("elsewhere")
    (folder / "images").rename(real)
    (folder / "images").symlink_to(real)
    (real / "loop").symlink_to(real)
    (real / "nothing.jpg").symlink_to(real / "missing.jpg")
    builder, report = prepare(f"{folder}/")
    assert builder.builder_config.name.startswith("v_gel____1_-")
    assert report.pictures == {"train": 4, "test": 2}


def test_prepared_data_can_be_read_by_tfds_alone(prepared_folder):
    records = tfds.builder_from_directory(prepared_folder.data_dir)
    assert len(records.as_data_source("train")) == 4


@pytest.mark.parametrize("dataset", ["folder", "cub", "coco"])
def test_missing_data_dir_is_a_user_error(dataset, tmp_path):
    missing = str(tmp_path / "none")
    with pytest.raises(UserError, match=f"--dataset={dataset}.*{missing}"):
        catalog.open_builder(dataset, missing, str(tmp_path))


def test_prepared_dir_must_be_a_folder(raw_folder, prepare):
    prepare.prepared = raw_folder.write("file", "")
    with pytest.raises(UserError, match="--prepared_dir must be a folder"):
        prepare(raw_folder.root)


def test_options_of_files_do_not_apply_to_the_demo(tmp_path):
    with pytest.raises(UserError, match="--captions_per_image is for data in"):
        catalog.open_builder("demo", "", str(tmp_path), 5)
    builder = catalog.open_builder("demo", "", str(tmp_path))
    with pytest.raises(UserError, match="--beam_options is for data in files"):
        catalog.prepare(builder, beam_options="--runner=DirectRunner")


@pytest.mark.slow
def test_real_birds(shared_data, tmp_path):
    prepare = helpers.Preparation("folder", tmp_path)
    builder, report = prepare(shared_data / "cub227", 10)
    assert report.pictures == {"train": 4544, "test": 1358}
    assert report.captions == {"train": 45440, "test": 13580}
    # No-break spaces that the published captions have lost.
    assert {kind: len(found) for kind, found in report.notes.items()} == {
        "captions with U+FFFD (damaged before)": 29
    }
    test = helpers.records(builder, "test")
    for name, record in test.items():
        path = shared_data / "cub227" / "images" / f"{name}.jpg"
        assert record["image"] == path.read_bytes()
    assert len({record["class_id"] for record in test.values()}) == 23
