"""Data sets by name: where they are prepared, and when again."""

import os
import shutil

import pytest
import tensorflow_datasets as tfds

from attngan_tf.config import Config
from attngan_tf.data import catalog
from attngan_tf.data.files import config_name
from attngan_tf.errors import UserError
from tests.data import helpers


def test_default_of_prepared_dir_is_tfdss(tmp_path, monkeypatch):
    def folder(**fields):
        return catalog.open_configured(
            Config(dataset="demo", **fields)
        ).data_dir

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    assert folder().startswith(str(tmp_path / "tfds"))
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert folder().startswith(str(tmp_path / "home" / "tensorflow_datasets"))
    named = str(tmp_path / "named")
    assert folder(prepared_dir=named).startswith(named)


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


def test_fingerprint_of_earlier_versions(raw_folder):
    """Data that users prepared before must be found again."""
    (raw_folder.root / "images" / "link").symlink_to(raw_folder.root / "images")
    found = catalog.Folder.files(str(raw_folder.root))
    assert {path: size for path, (size, _) in found.items()} == {
        str(path.relative_to(raw_folder.root)): path.stat().st_size
        for path in helpers.files_below(raw_folder.root)
        if "link" not in path.parts
    }
    files = {"train.txt": (40, 10**18), "images/a/caf\udce9.jpg": (7, 1)}
    # Computed by version 0.1.0.
    assert config_name("/data/my birds", files, 10) == "my_birds-edfeb21b"


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
    prepare = helpers.Preparation(dataset, tmp_path)
    missing = tmp_path / "no"
    for source, found in (("", "received none"), (missing, f"at '{missing}'")):
        with pytest.raises(UserError, match=found):
            prepare.open(source)
    with pytest.raises(UserError, match=f"--dataset={dataset} must hold"):
        prepare.open(tmp_path)


def test_options_of_files_do_not_apply_to_the_demo(tmp_path):
    demo = helpers.Preparation("demo", tmp_path)
    with pytest.raises(UserError, match="--captions_per_image applies to data"):
        demo.open(captions=5)
    with pytest.raises(UserError, match="--beam_options applies to data in"):
        catalog.prepare(demo.open(), beam_options="--runner=DirectRunner")
