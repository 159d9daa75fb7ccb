"""Disks that fill."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.io.disk import new_array, writing
from attngan_tf.io.files import replacing


def test_what_a_disk_says_is_one_line(small_disk):
    folder = small_disk(64)
    kept = "ckpt-3 is kept"
    path = folder / "file"

    def write():
        with (
            writing("numbers", str(path), kept),
            replacing(str(path), "wb") as file,
        ):
            file.write(bytes(100_000))

    with pytest.raises(UserError) as raised:
        write()
    said = str(raised.value)
    assert "numbers must be written" in said
    assert str(path) in said
    assert "No space left on device; ckpt-3 is kept; make room" in said
    assert os.listdir(folder) == []


def test_what_tensorflow_says_of_a_disk_is_one_line(small_disk):
    folder = small_disk(64)
    with (
        pytest.raises(UserError, match=r"numbers.*failed: .*; make room"),
        writing("numbers", str(folder)),
    ):
        tf.io.write_file(str(folder / "file"), bytes(100_000))


@pytest.mark.parametrize("error", [ValueError("x"), UserError("its own line")])
def test_other_errors_stay(error):
    with (
        pytest.raises(type(error), match=str(error)),
        writing("numbers", "folder"),
    ):
        raise error


def test_an_array_takes_its_room_at_once(small_disk):
    folder = small_disk(256)
    path = str(folder / "array.npy")
    array = new_array(path, np.float16, (100, 200))
    taken = os.stat(path).st_blocks * 512
    assert taken >= array.nbytes == 40_000
    array[99] = 1.0
    array.flush()
    found = np.load(path)
    np.testing.assert_array_equal(found[99], np.ones(200, np.float16))
    assert not found[:99].any()
    with pytest.raises(OSError, match="No space left"):
        new_array(str(folder / "large.npy"), np.float16, (1000, 200))
    assert [p.name for p in pathlib.Path(folder).iterdir()] == ["array.npy"]
