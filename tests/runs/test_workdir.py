"""The lock of a workdir."""

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
from attngan_tf.runs import workdir
with workdir.locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that has locked the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_training_is_refused_with_the_owners_pid(tmp_path, owner):
    with pytest.raises(UserError) as raised, workdir.locked(str(tmp_path)):
        pass
    named = f"process {owner.pid} on host {socket.gethostname()} trains in"
    assert f"{named} {tmp_path}" in str(raised.value)


def test_the_lock_of_a_killed_owner_is_taken(tmp_path, owner, capsys):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with workdir.locked(str(tmp_path)):
        assert f"process {owner.pid}" in capsys.readouterr().err
    with workdir.locked(str(tmp_path)):
        assert capsys.readouterr().err == ""


def test_a_read_only_folder_is_refused(small_disk):
    folder = small_disk(64)
    command = ["mount", "-o", "remount,ro", str(folder)]
    subprocess.run(command, check=True)
    with (
        pytest.raises(UserError, match=r"--workdir must be .*Read-only"),
        workdir.locked(str(folder)),
    ):
        pass


def test_a_full_disk_is_reported_before_training(small_disk, fill, tiny_config):
    folder = small_disk(64)
    rest = fill(folder)
    os.truncate(rest, rest.stat().st_size - 4096)  # for the lock
    config = tiny_config(workdir=str(folder))
    with pytest.raises(UserError, match=r"the configuration.*No space left"):
        train(config)
    assert (folder / workdir.LOCK_FILE).read_text() == ""


def test_a_disk_without_room_for_the_lock_is_reported(small_disk, fill):
    folder = small_disk(64)
    (folder / workdir.LOCK_FILE).touch()
    rest = fill(folder)
    with (
        pytest.raises(UserError, match=r"the lock.*No space left"),
        workdir.locked(str(folder)),
    ):
        pass
    rest.unlink()
    with workdir.locked(str(folder)):
        pass
