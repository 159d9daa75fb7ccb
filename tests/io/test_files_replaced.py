"""Atomic writes."""

import os

import pytest

from attngan_tf.io.files import replacing


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(str(path)) as file:
        file.write("é\n")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == "é\n".encode()
    with replacing(str(path), "wb") as file:
        file.write(b"\x00")
    assert path.read_bytes() == b"\x00"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with replacing(str(path)) as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
