"""Prepared data that is damaged: found, named, and prepared again."""

import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest
import tensorflow as tf

from attngan_tf import evaluate
from attngan_tf.data import catalog, checksums, prepared_data
from attngan_tf.data.raw import FaultsError
from attngan_tf.data.views import Records, changes_as_mistakes
from attngan_tf.errors import UserError
from attngan_tf.train import train

REPAIR = "to repair it, run python -m attngan_tf.prepare with the same flags"
SHARD = "attngan_folder-train.array_record-00000-of-00001"


@pytest.fixture
def prepared(open_builder):
    """The folder of data that was prepared."""
    builder = open_builder()
    catalog.prepare(builder)
    return pathlib.Path(builder.data_dir)


def contents(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file()
    }


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


DAMAGE = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut off by a byte": lambda path: os.truncate(
        path, path.stat().st_size - 1
    ),
    "empty": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "first bit flipped": lambda path: flip(path, 0),
    "bit flipped": flip,
    "last bit flipped": lambda path: flip(path, 1),
    "deleted": pathlib.Path.unlink,
    "a folder": as_folder,
    "a pipe": as_pipe,
}
FILES = [
    *(SHARD, SHARD.replace("train", "test"), "dataset_info.json"),
    *("features.json", "report.json", "vocab.txt", checksums.FILE),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_repaired(prepared, open_builder, capsys, damage):
    whole = contents(prepared)
    assert sorted(whole) == sorted(FILES)
    (prepared / "reference_features").mkdir()
    (prepared / "reference_features/kept.npy").write_bytes(b"features")
    for name in FILES:
        DAMAGE[damage](prepared / name)
        with pytest.raises(UserError) as raised:
            catalog.prepare(open_builder())
        said = str(raised.value)
        assert said.startswith("prepared data must stay as it was written; ")
        assert f"{prepared} is damaged: {name}: " in said
        assert said.endswith(REPAIR)
        capsys.readouterr()
        report = catalog.prepare(open_builder(), repair=True)
        assert report.pictures == {"train": 4, "test": 2}
        told = capsys.readouterr().err.splitlines()
        assert told[0].startswith(f"damaged: {prepared}/{name}: ")
        assert told[1] == "preparing it again from the raw data"
        again = contents(prepared)
        for file in set(FILES) - {"dataset_info.json", checksums.FILE}:
            assert again[file] == whole[file], file  # the others tell the time
    assert (prepared / "reference_features/kept.npy").read_bytes()
    assert os.listdir(prepared.parent) == [prepared.name]
    builder = open_builder()
    catalog.prepare(builder)
    assert len(Records(builder, "test")) == 2


def test_all_damage_is_told(prepared, open_builder, capsys):
    for name in (SHARD, "vocab.txt"):
        flip(prepared / name)
    with pytest.raises(
        UserError, match=f"{SHARD}: not as it was .* and 1 more"
    ):
        catalog.prepare(open_builder())
    catalog.prepare(open_builder(), repair=True)
    told = capsys.readouterr().err.splitlines()
    assert [line.split("/")[-1] for line in told if "damaged" in line] == [
        f"{SHARD}: not as it was written",
        "vocab.txt: not as it was written",
    ]


def test_damage_stays_where_the_raw_data_has_faults(
    prepared, open_builder, raw_folder, capsys
):
    flip(prepared / SHARD)
    damaged = contents(prepared)
    picture = raw_folder.root / "images/c.Owl/o1.jpg"
    status = picture.stat()  # the fingerprint does not see it
    picture.write_bytes(bytes(status.st_size))
    os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(FaultsError, match=r"o1\.jpg: not a picture"):
        catalog.prepare(open_builder(), repair=True)
    told = capsys.readouterr().err.splitlines()
    assert f"the damaged data stays: {prepared}" in told
    assert contents(prepared) == damaged
    assert os.listdir(prepared.parent) == [prepared.name]


def test_prepared_data_stays_where_the_raw_data_is_gone(
    prepared, open_builder, raw_folder
):
    flip(prepared / SHARD)
    damaged = contents(prepared)
    shutil.rmtree(raw_folder.root)
    with pytest.raises(UserError) as raised:
        open_builder()
    assert f"what was prepared of it stays: {prepared.parent}" in str(
        raised.value
    )
    assert contents(prepared) == damaged


def test_checksums_are_those_of_other_programs(prepared):
    *lines, own = (prepared / checksums.FILE).read_bytes().splitlines(True)
    expected = hashlib.sha256(b"".join(lines)).hexdigest()
    assert own.decode() == f"# {expected}\n"
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum to compare with")
    check = ["sha256sum", "--check", "--strict", checksums.FILE]
    done = subprocess.run(check, cwd=prepared, capture_output=True, check=True)
    assert done.stdout.count(b": OK\n") == len(FILES) - 1


def test_the_digest_is_of_the_records_at_their_places(open_builder):
    builder = open_builder()
    catalog.prepare(builder)
    records, places = Records(builder, "train"), [3, 0, 2]
    total = hashlib.sha256()
    for place in places:
        (stored,) = records._source.__getitems__([place])
        total.update(hashlib.sha256(stored).digest())
    for rows in (1, 2, 3, 256):
        assert records.digest(places, rows) == total.hexdigest()
    assert records.digest(sorted(places)) != total.hexdigest()


@pytest.mark.parametrize("change", ["truncated", "zeroed", "flipped"])
def test_data_that_changes_while_it_is_read(prepared, open_builder, change):
    """In the middle of an epoch: tf.data's error is one line again."""
    builder = open_builder()
    catalog.prepare(builder)
    records = Records(builder, "train")
    batches = tf.data.Dataset.range(4).map(records.pixels)
    assert len(list(batches)) == 4
    path, size = prepared / SHARD, (prepared / SHARD).stat().st_size
    if change == "truncated":
        os.truncate(path, 100)
    else:
        with open(path, "r+b") as file:  # the same file, which stays open
            data = bytearray(file.read())
            for place in range(100, size, 100):
                data[place] = 0 if change == "zeroed" else data[place] ^ 4
            file.seek(0)
            file.write(data)
    for read in (
        lambda: list(batches),
        lambda: list(records.labels()),
        lambda: records.digest(range(4)),
    ):
        with pytest.raises(UserError) as raised, changes_as_mistakes():
            read()
        said = str(raised.value)
        assert said.startswith("prepared data must stay as it is while it is")
        assert str(prepared) in said
        assert "\n" not in said


def test_training_and_evaluation_end_in_a_line(
    tiny_config, tmp_path, monkeypatch
):
    config = tiny_config(
        workdir=str(tmp_path / "run"), prepared_dir=str(tmp_path / "prepared")
    )
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    (shard,) = pathlib.Path(builder.data_dir).glob("*train*")
    whole, open_data = shard.read_bytes(), prepared_data.open_data

    def open_and_cut(*arguments):
        data = open_data(*arguments)
        data.train.row(0)
        os.truncate(shard, 100)
        return data

    monkeypatch.setattr(prepared_data, "open_data", open_and_cut)
    with pytest.raises(UserError, match="must stay as it is while it is read"):
        train(config)
    for begin in (train, lambda config: evaluate.open_data(config, None, None)):
        with pytest.raises(UserError, match=f"is damaged: {shard.name}: not"):
            begin(config)
    shard.write_bytes(whole)


def test_other_errors_of_tensorflow_are_not_touched():
    with pytest.raises(tf.errors.NotFoundError), changes_as_mistakes():
        tf.io.read_file("/no/such/file")


def test_opening_leaves_no_temporary_folder_and_asks_no_network(
    open_builder, tmp_path, monkeypatch
):
    from tensorflow_datasets.core.utils import gcs_utils

    def asked(*arguments):
        raise AssertionError("a network was asked for")

    for name in ("gcs_dataset_info_files", "is_dataset_on_gcs"):
        monkeypatch.setattr(gcs_utils, name, asked)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for builder in (
        open_builder(),
        catalog.open_builder("demo", "", str(tmp_path / "prepared")),
    ):
        assert not builder.info.initialized
    assert os.listdir(tmp_path / "tmp") == []
    catalog.prepare(open_builder())
    catalog.prepare(open_builder())
    assert not [x for x in os.listdir(tmp_path / "tmp") if "tfds" in x]
