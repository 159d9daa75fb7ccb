"""Temporary files: those of killed processes are removed, no others."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from attngan_tf.io import scratch

KILLED = """
import os, signal, sys
from attngan_tf.io import scratch
with scratch.folder(sys.argv[1], ".new-") as folder:
    open(os.path.join(folder, "half"), "w").write("half")
    open(os.path.join(sys.argv[1], ".new-file"), "w").write("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def left(tmp_path):
    """A folder in which a process was killed."""
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path])
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "other").mkdir()
    assert len(os.listdir(tmp_path)) == 3
    return tmp_path


def test_files_of_a_killed_process_are_removed_by_the_next_writer(left):
    with scratch.folder(str(left), ".new-") as folder:
        assert set(os.listdir(left)) == {os.path.basename(folder), "other"}
    assert os.listdir(left) == ["other"]


def test_files_of_a_running_writer_remain(left):
    with scratch.writer(str(left), ".new-*"):
        (left / ".new-1").mkdir()
        with scratch.writer(str(left), ".new-*"):
            assert (left / ".new-1").exists()
        (left / ".new-1").rename(left / "1")
    assert sorted(os.listdir(left)) == ["1", "other"]


def test_without_locks_nothing_is_removed(left, monkeypatch):
    def refuse(descriptor, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = set(os.listdir(left))
    with scratch.folder(str(left), ".new-") as folder:
        assert set(os.listdir(left)) == {*before, os.path.basename(folder)}
    assert set(os.listdir(left)) == before
