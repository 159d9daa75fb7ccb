"""Who trains in a folder."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from attngan_tf.errors import UserError
from attngan_tf.runs import workdir
from attngan_tf.train import train

HOLD = """
import sys, time
from attngan_tf.train import train
from attngan_tf.runs import workdir
with workdir.alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that holds the lock of the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_training_is_refused_by_the_owners_name(tmp_path, owner):
    with pytest.raises(UserError) as raised, workdir.alone(str(tmp_path)):
        pass
    named = f"process {owner.pid} on host {socket.gethostname()} trains there"
    assert named in str(raised.value)


def test_the_lock_of_a_dead_owner_is_taken_over(tmp_path, owner, capsys):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with workdir.alone(str(tmp_path)):
        assert f"process {owner.pid}" in capsys.readouterr().err
    with workdir.alone(str(tmp_path)):
        assert capsys.readouterr().err == ""


def test_a_lock_ends_with_its_block(tmp_path, capsys):
    with pytest.raises(KeyError), workdir.alone(str(tmp_path)):
        raise KeyError
    with workdir.alone(str(tmp_path)):
        pass
    assert capsys.readouterr().err == ""


def test_what_a_full_disk_left_of_a_lock(tmp_path, capsys):
    (tmp_path / workdir.LOCK_FILE).write_text('{"pid": 1')
    with workdir.alone(str(tmp_path)):
        assert "an unknown process" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(small_disk):
    folder = small_disk(64)
    command = ["mount", "-o", "remount,ro", str(folder)]
    subprocess.run(command, check=True)
    with (
        pytest.raises(UserError, match=r"--workdir must be .*Read-only"),
        workdir.alone(str(folder)),
    ):
        pass


def test_no_room_for_what_a_run_begins_with(small_disk, fill, tiny_config):
    folder = small_disk(64)
    rest = fill(folder)
    os.truncate(rest, rest.stat().st_size - 4096)  # the lock takes it
    config = tiny_config(workdir=str(folder))
    with pytest.raises(UserError, match=r"the vocabulary.*No space left"):
        train(config)
    assert (folder / workdir.LOCK_FILE).read_text() == ""


def test_no_room_for_the_lock(small_disk, fill):
    folder = small_disk(64)
    (folder / workdir.LOCK_FILE).touch()
    rest = fill(folder)
    with (
        pytest.raises(UserError, match=r"the lock.*No space left"),
        workdir.alone(str(folder)),
    ):
        pass
    rest.unlink()
    with workdir.alone(str(folder)):
        pass
