"""Temporary files: those of killed processes are removed, no others."""

import concurrent.futures
import contextlib
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
    assert len(os.listdir(tmp_path)) == 4
    return tmp_path


def test_files_of_a_killed_process_are_removed_by_the_next_writer(left):
    with scratch.folder(str(left), ".new-") as folder:
        names = {os.path.basename(folder), "other", scratch.LOCK_FILE}
        assert set(os.listdir(left)) == names
    assert os.listdir(left) == ["other"]


def test_files_of_a_killed_process_are_removed_without_writing(left):
    scratch.remove_left(str(left), ".new-*")
    assert os.listdir(left) == ["other"]
    (left / scratch.LOCK_FILE).touch()
    scratch.remove_left(str(left), ".new-*")
    assert os.listdir(left) == ["other"]


def test_a_folder_without_such_files_is_not_changed(tmp_path):
    before = tmp_path.stat()
    scratch.remove_left(str(tmp_path), ".new-*")
    scratch.remove_left(str(tmp_path / "none"), ".new-*")
    assert tmp_path.stat().st_mtime_ns == before.st_mtime_ns


def test_files_of_a_running_writer_remain(left):
    with scratch.writer(str(left), ".new-*"):
        (left / ".new-1").mkdir()
        with scratch.writer(str(left), ".new-*"):
            assert (left / ".new-1").exists()
        scratch.remove_left(str(left), ".new-*")
        assert (left / ".new-1").exists()
        (left / ".new-1").rename(left / "1")
    assert sorted(os.listdir(left)) == ["1", "other"]


def test_many_concurrent_writers(tmp_path):
    """The lock file is removed and created again; no writer loses files."""
    base = str(tmp_path / "base")

    def write(_):
        with scratch.folder(base, ".new-") as folder:
            path = os.path.join(folder, "file")
            for _ in range(3):
                open(path, "a").close()
                os.stat(path)
        with contextlib.suppress(OSError):  # it is in use, or already removed
            os.rmdir(base)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(write, range(200)))) == 200
    assert not os.path.exists(base)


def test_without_locks_nothing_is_removed(left, monkeypatch):
    def refuse(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = set(os.listdir(left))
    with scratch.folder(str(left), ".new-") as folder:
        assert set(os.listdir(left)) == {*before, os.path.basename(folder)}
    assert set(os.listdir(left)) == before
