"""What preparations that were killed left; those of living ones stay."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from attngan_tf.data import catalog, checksums


@pytest.fixture
def place(open_builder):
    """The folder of the prepared data."""
    return pathlib.Path(open_builder().data_dir)


def leave(place):
    """What SIGKILL leaves, of a preparation and of a repair."""
    version = place.name
    for name in (f"incomplete.AB12CD_{version}", ".repair-abc/damaged"):
        (place.parent / name).mkdir(parents=True)
        (place.parent / name / "shard").write_bytes(b"half")


def test_a_preparation_removes_what_killed_ones_left(open_builder, place):
    leave(place)
    catalog.prepare(open_builder())
    assert os.listdir(place.parent) == [place.name]


def test_so_it_does_where_the_data_is_there(open_builder, place):
    catalog.prepare(open_builder())
    leave(place)
    catalog.prepare(open_builder())
    assert os.listdir(place.parent) == [place.name]
    assert checksums.damage(str(place)) == []


def test_so_does_a_repair(open_builder, place):
    catalog.prepare(open_builder())
    (place / "vocab.txt").write_bytes(b"")
    leave(place)
    catalog.prepare(open_builder(), repair=True)
    assert os.listdir(place.parent) == [place.name]


@pytest.mark.parametrize("damaged", [False, True])
def test_two_at_once_leave_each_others_folders(
    open_builder, place, monkeypatch, damaged
):
    """One begins and ends while another one, or a repair, is half done."""
    if damaged:
        catalog.prepare(open_builder())
        (place / "vocab.txt").write_bytes(b"")
    write, seen = checksums.write, []

    def meanwhile(folder):
        monkeypatch.undo()
        seen.extend(os.listdir(place.parent))
        report = catalog.prepare(open_builder(), repair=True)
        assert report.pictures == {"train": 4, "test": 2}
        assert os.path.isdir(folder)
        write(folder)

    monkeypatch.setattr(checksums, "write", meanwhile)
    builder = open_builder()
    catalog.prepare(builder, repair=True)
    begun = ".repair-" if damaged else "incomplete."
    assert any(name.startswith(begun) for name in seen)
    assert builder.info.splits["train"].num_examples == 4
    assert os.listdir(place.parent) == [place.name]
    assert checksums.damage(str(place)) == []


@pytest.mark.slow
def test_a_command_that_is_ended_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "attngan_tf.prepare", "--dataset=demo"]
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL")
    process = subprocess.Popen(
        [*command, f"--prepared_dir={tmp_path}"],
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/incomplete.*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    lines = [x for x in said.replace("\r", "\n").splitlines() if x.strip()]
    assert [x for x in lines if not x.startswith("Writing ")] == ["interrupted"]
    assert os.listdir(tmp_path) in ([], ["downloads"])  # TFDS's, empty
