"""Loading a version, running it, warming it up, closing it."""

import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import toy_model

from export.serving import warmup
from export.serving.errors import ServingError
from export.serving.servable import Servable
from export.serving.server import load

A = np.array([b"a"], object)


@pytest.fixture(scope="module")
def version(base):
    return base / "1"


@pytest.fixture(scope="module")
def servable(version):
    servable = Servable("toy", 3, str(version))
    yield servable
    servable.retire(closed=lambda: None)


def run(servable, name, outputs=None, deadline=None, **feeds):
    signature = servable.signatures[name]
    names = outputs or list(signature.outputs)
    return servable.run(signature, feeds, names, deadline)


def code_of(function, *arguments, **named):
    with pytest.raises(ServingError) as raised:
        function(*arguments, **named)
    return raised.value.code


def test_signatures(servable):
    assert set(toy_model.SIGNATURES) < set(servable.signatures)
    signature = servable.signatures["generate"]
    assert signature.inputs["captions"].dtype == tf.string
    assert signature.inputs["seeds"].dtype == tf.int64
    assert signature.outputs["images"].dtype == tf.uint8
    code = code_of(servable.signature, "nope", tf.errors.FAILED_PRECONDITION)
    assert code == tf.errors.FAILED_PRECONDITION


def test_running(servable):
    images = run(servable, "generate", captions=A, seeds=np.array([1]))
    (png,) = run(servable, "generate_png", captions=A, seeds=np.array([1]))[
        "image_bytes"
    ]
    decoded = tf.io.decode_png(png).numpy()
    np.testing.assert_array_equal(images["images"][0], decoded)
    x = np.array([[1, 2, 4]], np.float32)
    both = run(servable, "numbers", x=x)
    assert both["inverse"].tolist() == [[1, 0.5, 0.25]]
    assert list(run(servable, "numbers", ["twice"], x=x)) == ["twice"]
    assert run(servable, "total", x=x)["total"] == 7
    assert code_of(run, servable, "total", x=x[:, :2]) == (
        tf.errors.INVALID_ARGUMENT
    )


def test_errors_of_the_model_are_one_line(servable):
    with pytest.raises(ServingError) as raised:
        run(servable, "picky", captions=np.array([b"!"], object))
    assert raised.value.code == tf.errors.INVALID_ARGUMENT
    assert raised.value.message.startswith("assertion failed: [no ! please]")


def test_deadline(servable):
    start = time.monotonic()
    seconds = np.array([30], np.float32)
    code = code_of(run, servable, "slow", deadline=start + 0.2, seconds=seconds)
    assert code == tf.errors.DEADLINE_EXCEEDED
    assert 0.1 < time.monotonic() - start < 5
    late = code_of(run, servable, "picky", deadline=start, captions=A)
    assert late == tf.errors.DEADLINE_EXCEEDED


def test_session_is_closed_after_its_last_user(version):
    servable = Servable("toy", 3, str(version))
    closed = threading.Event()
    servable.acquire()
    servable.retire(closed.set)
    assert not closed.is_set()
    assert run(servable, "picky", captions=A)["size"].tolist() == [1]
    servable.release()
    assert closed.is_set()


@pytest.fixture
def copy(version, tmp_path):
    """A version to break."""
    return shutil.copytree(version, tmp_path / "3")


def test_warm_up_records_are_run(copy):
    servable = Servable("toy", 3, str(copy))
    assert warmup.run(servable, str(copy)) == 1
    (copy / warmup.FILE).unlink()
    assert warmup.run(servable, str(copy)) == 0
    servable.retire(closed=lambda: None)


@pytest.mark.parametrize(
    ("signature", "said"),
    [("nope", "no signature 'nope'"), ("generate", "must be captions, seeds")],
)
def test_bad_warm_up_record_stops_the_loading(copy, signature, said):
    toy_model.write_warmup(copy, signature)
    with pytest.raises(ServingError, match=f"record 1 in .*{said}"):
        load("toy", 3, str(copy))


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
