"""Loading a version, warming it up, closing it."""

import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from export.serving import warmup
from export.serving.errors import ServingError
from export.serving.servable import Servable
from export.serving.server import load


@pytest.fixture
def copy(toy_dir, tmp_path):
    """A version to break; it has a warm-up record."""
    return shutil.copytree(toy_dir / "1", tmp_path / "3")


def test_session_is_closed_after_its_last_user(toy_dir):
    servable = Servable("toy", 1, str(toy_dir / "1"))
    closed = threading.Event()
    servable.acquire()
    servable.retire(closed.set)
    assert not closed.is_set()
    feeds = {"captions": np.array([b"a"], object)}
    signature = servable.signatures["picky"]
    found = servable.run(signature, feeds, ["size"], deadline=None)
    assert found["size"].tolist() == [1]
    servable.release()
    assert closed.is_set()


def test_warm_up_records_are_run(copy):
    servable = Servable("toy", 3, str(copy))
    assert warmup.run(servable, str(copy)) == 1
    (copy / warmup.FILE).unlink()
    assert warmup.run(servable, str(copy)) == 0
    servable.retire(closed=lambda: None)


def test_broken_warm_up_file_stops_the_loading(copy):
    file = copy / warmup.FILE
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"\xff\xff")
    with pytest.raises(ServingError, match=r"record 1 in .* DecodeError"):
        load("toy", 3, str(copy))
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ServingError, match=r"record 1 in .* truncated"):
        load("toy", 3, str(copy))


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index"]
)
@pytest.mark.parametrize("content", [b"broken", None])
def test_broken_version_is_one_error(copy, file, content):
    (copy / file).unlink()
    if content:
        (copy / file).write_bytes(content)
    with pytest.raises(ServingError):
        load("toy", 3, str(copy))
