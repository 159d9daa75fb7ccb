"""Full disks."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.io.disk import new_array, writing
from attngan_tf.io.files import replacing


def test_an_error_of_the_disk_is_one_line(small_disk):
    folder = small_disk(64)
    retained = "ckpt-3 is retained"
    path = folder / "file"

    def write():
        with (
            writing("numbers", str(path), retained),
            replacing(str(path), "wb") as file,
        ):
            file.write(bytes(100_000))

    with pytest.raises(UserError) as raised:
        write()
    message = str(raised.value)
    assert "numbers must be written" in message
    assert str(path) in message
    assert "No space left on device; ckpt-3 is retained; free disk" in message
    assert os.listdir(folder) == []


def test_an_error_of_tensorflow_is_one_line(small_disk):
    folder = small_disk(64)
    with (
        pytest.raises(UserError, match=r"numbers.*failed: .*; free disk"),
        writing("numbers", str(folder)),
    ):
        tf.io.write_file(str(folder / "file"), bytes(100_000))


def test_the_space_of_an_array_is_allocated_at_once(small_disk):
    folder = small_disk(256)
    path = str(folder / "array.npy")
    array = new_array(path, np.float16, (100, 200))
    allocated = os.stat(path).st_blocks * 512
    assert allocated >= array.nbytes == 40_000
    array[99] = 1.0
    array.flush()
    found = np.load(path)
    np.testing.assert_array_equal(found[99], np.ones(200, np.float16))
    assert not found[:99].any()
    with pytest.raises(OSError, match="No space left"):
        new_array(str(folder / "large.npy"), np.float16, (1000, 200))
    assert [p.name for p in pathlib.Path(folder).iterdir()] == ["array.npy"]
