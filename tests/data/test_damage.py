"""Prepared data that is damaged: it is detected, named, and prepared again."""

import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest
import tensorflow as tf

from attngan_tf import evaluate
from attngan_tf.data import catalog, checksums, prepared_data
from attngan_tf.data.findings import FaultsError
from attngan_tf.data.views import Records, changes_as_user_errors
from attngan_tf.errors import UserError
from attngan_tf.train import train

REPAIR = "to repair it, run python -m attngan_tf.prepare with the same flags"
SHARD = "attngan_folder-train.array_record-00000-of-00001"
FILES = [
    *(SHARD, SHARD.replace("train", "test"), "dataset_info.json"),
    *("features.json", "report.json", "vocab.txt", checksums.FILE),
]


@pytest.fixture
def prepared(open_builder):
    """The folder of data that was prepared."""
    builder = open_builder()
    catalog.prepare(builder)
    return pathlib.Path(builder.data_dir)


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "bit flipped": flip,
    "deleted": pathlib.Path.unlink,
    "a folder": replace_by_folder,
}


@pytest.mark.parametrize("name", FILES)
def test_every_damage_is_found(prepared_folder, tmp_path, name):
    whole = pathlib.Path(prepared_folder.data_dir)
    assert sorted(contents(whole)) == sorted(FILES)
    for kind, damage in DAMAGE.items():
        copy = shutil.copytree(whole, tmp_path / kind)
        assert checksums.damage(str(copy)) == []
        damage(copy / name)
        (line,) = checksums.damage(str(copy))
        assert line.startswith(f"{name}: "), kind


def test_damage_is_named(prepared, open_builder):
    (prepared / "dataset_info.json").write_bytes(b"")
    (prepared / "vocab.txt").write_bytes(b"")
    with pytest.raises(UserError) as raised:
        catalog.prepare(open_builder())
    assert str(raised.value) == (
        f"prepared data must stay as it was written; {prepared} is damaged: "
        f"dataset_info.json: not as it was written and 1 more; {REPAIR}"
    )


@pytest.mark.parametrize("damaged", ["dataset_info.json", checksums.FILE])
def test_damage_is_repaired(prepared, open_builder, capsys, damaged):
    whole = contents(prepared)
    flip(prepared / damaged)
    report = catalog.prepare(open_builder(), repair=True)
    assert report.pictures == {"train": 4, "test": 2}
    assert capsys.readouterr().err.splitlines()[:2] == [
        f"damaged: {prepared}/{damaged}: not as it was written",
        "preparing it again from the raw data",
    ]
    repaired = contents(prepared)
    for file in set(FILES) - {"dataset_info.json", checksums.FILE}:
        assert repaired[file] == whole[file], file  # the others have dates
    assert os.listdir(prepared.parent) == [prepared.name]
    builder = open_builder()
    catalog.prepare(builder)
    assert len(Records(builder, "test")) == 2


def test_damaged_data_is_kept_if_the_raw_data_has_faults(
    prepared, open_builder, raw_folder
):
    flip(prepared / SHARD)
    damaged = contents(prepared)
    image = raw_folder.root / "images/c.Owl/o1.jpg"
    status = image.stat()  # the fingerprint does not change
    image.write_bytes(bytes(status.st_size))
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(FaultsError, match=r"o1\.jpg: not an image"):
        catalog.prepare(open_builder(), repair=True)
    assert contents(prepared) == damaged
    assert os.listdir(prepared.parent) == [prepared.name]


def test_checksums_are_those_of_sha256sum(prepared_folder):
    folder = pathlib.Path(prepared_folder.data_dir)
    *lines, own = (folder / checksums.FILE).read_bytes().splitlines(True)
    expected = hashlib.sha256(b"".join(lines)).hexdigest()
    assert own.decode() == f"# {expected}\n"
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum to compare with")
    check = ["sha256sum", "--check", "--strict", checksums.FILE]
    done = subprocess.run(check, cwd=folder, capture_output=True, check=True)
    assert done.stdout.count(b": OK\n") == len(FILES) - 1


@pytest.mark.parametrize("change", ["truncated", "zeroed", "flipped"])
def test_changes_during_reading_are_a_user_error(
    prepared, open_builder, change
):
    records = Records(open_builder(), "train")
    batches = tf.data.Dataset.range(4).map(records.pixels)
    assert len(list(batches)) == 4
    path, size = prepared / SHARD, (prepared / SHARD).stat().st_size
    if change == "truncated":
        os.truncate(path, 100)
    else:
        with open(path, "r+b") as file:  # the same file, which stays open
            data = bytearray(file.read())
            for index in range(100, size, 100):
                data[index] = 0 if change == "zeroed" else data[index] ^ 4
            file.seek(0)
            file.write(data)
    for read in (
        lambda: list(batches),
        lambda: list(records.labels()),
        lambda: records.digest(range(4)),
    ):
        with pytest.raises(UserError) as raised, changes_as_user_errors():
            read()
        message = str(raised.value)
        assert message.startswith("prepared data must stay as it is while it")
        assert str(prepared) in message
        assert "\n" not in message


def test_other_errors_of_tensorflow_are_not_changed():
    with pytest.raises(tf.errors.NotFoundError), changes_as_user_errors():
        tf.io.read_file("/no/such/file")


def test_training_and_evaluation_detect_damage(
    tiny_config, tmp_path, monkeypatch
):
    config = tiny_config(
        workdir=str(tmp_path / "run"), prepared_dir=str(tmp_path / "prepared")
    )
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    (shard,) = pathlib.Path(builder.data_dir).glob("*train*")
    open_data = prepared_data.open_data

    def open_and_truncate(*arguments):
        data = open_data(*arguments)
        data.train.row(0)
        os.truncate(shard, 100)
        return data

    monkeypatch.setattr(prepared_data, "open_data", open_and_truncate)
    with pytest.raises(UserError, match="must stay as it is while it is read"):
        train(config)
    for start in (train, lambda config: evaluate.open_data(config, None, None)):
        with pytest.raises(UserError, match=f"is damaged: {shard.name}: not"):
            start(config)
