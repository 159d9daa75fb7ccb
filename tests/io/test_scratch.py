"""Files on their way: those of the living stay, those of the dead go."""

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
    (tmp_path / "kept").mkdir()
    assert len(os.listdir(tmp_path)) == 4
    return tmp_path


def test_what_a_killed_process_left_is_removed_before_others_write(left):
    with scratch.folder(str(left), ".new-") as folder:
        names = {os.path.basename(folder), "kept", scratch.LOCK_FILE}
        assert set(os.listdir(left)) == names
    assert os.listdir(left) == ["kept"]


def test_it_is_removed_without_writing_too(left):
    scratch.remove_left(str(left), ".new-*")
    assert os.listdir(left) == ["kept"]
    (left / scratch.LOCK_FILE).touch()
    scratch.remove_left(str(left), ".new-*")
    assert os.listdir(left) == ["kept"]


def test_nothing_is_touched_where_nothing_is_left(tmp_path):
    before = tmp_path.stat()
    scratch.remove_left(str(tmp_path), ".new-*")
    scratch.remove_left(str(tmp_path / "none"), ".new-*")
    assert tmp_path.stat().st_mtime_ns == before.st_mtime_ns


def test_files_of_a_living_writer_stay(left):
    with scratch.writer(str(left), ".new-*"):
        (left / ".new-1").mkdir()
        with scratch.writer(str(left), ".new-*"):
            assert (left / ".new-1").exists()
        scratch.remove_left(str(left), ".new-*")
        assert (left / ".new-1").exists()
        (left / ".new-1").rename(left / "1")
    assert sorted(os.listdir(left)) == ["1", "kept"]


def test_the_first_to_end_leaves_the_lock_to_the_others(tmp_path):
    base = str(tmp_path / "made")
    with scratch.writer(base, ".new-*"):
        with scratch.folder(base, ".new-"):
            pass
        assert os.listdir(base) == [scratch.LOCK_FILE]
        with scratch.folder(base, ".new-") as folder:
            os.rename(folder, os.path.join(base, "1"))
    assert os.listdir(base) == ["1"]


def test_a_failure_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        scratch.folder(str(tmp_path), ".new-"),
    ):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_many_at_once(tmp_path):
    """The lock's file comes and goes; whoever writes keeps its files."""
    base = str(tmp_path / "base")

    def write(_):
        with scratch.folder(base, ".new-") as folder:
            path = os.path.join(folder, "file")
            for _ in range(3):
                open(path, "a").close()
                os.stat(path)
        with contextlib.suppress(OSError):  # others are in it, or were first
            os.rmdir(base)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(write, range(400)))) == 400
    assert not os.path.exists(base)


def test_without_locks_nothing_is_removed(left, monkeypatch):
    def refuse(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = set(os.listdir(left))
    with scratch.folder(str(left), ".new-") as folder:
        assert set(os.listdir(left)) == {*before, os.path.basename(folder)}
    assert set(os.listdir(left)) == before
