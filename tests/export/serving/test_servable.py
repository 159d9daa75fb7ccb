"""Loading a version, running it, warming it up, closing it."""

import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import toy_model
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from export.serving import tensor_protos, warmup
from export.serving.errors import Code, ServingError
from export.serving.servable import Servable
from export.serving.server import load

A = np.array([b"a"], object)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    return toy_model.write(tmp_path_factory.mktemp("base"), 3)


@pytest.fixture(scope="module")
def servable(version):
    servable = Servable("toy", 3, str(version))
    yield servable
    servable.retire(closed=lambda: None)


def run(servable, name, outputs=None, deadline=None, **feeds):
    signature = servable.signatures[name]
    signature.check(feeds)
    names = outputs or list(signature.outputs)
    return servable.run(signature, feeds, names, deadline)


def code_of(function, *arguments, **named):
    with pytest.raises(ServingError) as raised:
        function(*arguments, **named)
    return raised.value.code


def test_signatures(servable):
    assert set(toy_model.SIGNATURES) < set(servable.signatures)
    signature = servable.signatures["generate"]
    assert signature.inputs["captions"].dtype == object
    assert signature.inputs["seeds"].dtype == np.int64
    assert signature.inputs["seeds"].shape == (None,)
    assert signature.outputs["images"].dtype == np.uint8
    error = code_of(servable.signature, "nope", Code.FAILED_PRECONDITION)
    assert error is Code.FAILED_PRECONDITION


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
    assert run(servable, "text", captions=A)["text"].tolist() == [b"a\xff"]


def test_errors_of_the_model_are_one_line(servable):
    with pytest.raises(ServingError) as raised:
        run(servable, "picky", captions=np.array([b"!"], object))
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert "no ! please" in raised.value.message


def test_a_deadline(servable):
    start = time.monotonic()
    code = code_of(
        run,
        servable,
        "slow",
        deadline=start + 0.2,
        seconds=np.array([30], np.float32),
    )
    assert code is Code.DEADLINE_EXCEEDED
    assert 0.1 < time.monotonic() - start < 5
    late = code_of(run, servable, "picky", deadline=start, captions=A)
    assert late is Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    "feeds",
    [
        {"captions": A, "seeds": np.array([1, 2])},
        {"captions": A[:0], "seeds": np.array([], np.int64)},
        {"captions": A, "seeds": np.array(1)},
        {"captions": A[None], "seeds": np.array([1])},
    ],
)
def test_inputs_that_do_not_fit(servable, feeds):
    check = servable.signatures["generate"].check
    assert code_of(check, feeds) is Code.INVALID_ARGUMENT


def test_a_default_stands_in_for_what_is_left_out(servable):
    signature = servable.signatures["generate"]
    request = predict_pb2.PredictRequest()
    request.inputs["captions"].CopyFrom(tf.make_tensor_proto(["a"]))
    assert code_of(tensor_protos.decode, request, signature) is (
        Code.INVALID_ARGUMENT
    )
    seeds = tf.make_tensor_proto([5], tf.int64)
    with_default = signature._replace(defaults={"seeds": seeds})
    assert tensor_protos.decode(request, with_default)["seeds"] == [5]
    request.inputs["seeds"].CopyFrom(tf.make_tensor_proto([6], tf.int64))
    assert tensor_protos.decode(request, with_default)["seeds"] == [6]


def test_a_session_is_closed_after_its_last_user(version):
    servable = Servable("toy", 3, str(version))
    closed = threading.Event()
    servable.acquire()
    servable.acquire()
    servable.retire(closed.set)
    servable.release()
    assert not closed.is_set()
    assert run(servable, "picky", captions=A)["size"].tolist() == [1]
    servable.release()
    assert closed.is_set()


@pytest.fixture
def copy(version, tmp_path):
    """A version of one's own, to break."""
    return shutil.copytree(version, tmp_path / "3")


def test_warm_up_records_are_run(copy):
    servable = Servable("toy", 3, str(copy))
    assert warmup.run(servable, str(copy)) == 0
    toy_model.write_warmup(copy)
    assert warmup.run(servable, str(copy)) == 1
    servable.retire(closed=lambda: None)


def write_records(folder, *records):
    file = folder / warmup.FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)
    return file


def test_a_bad_warm_up_record_stops_the_loading(copy):
    def message():
        with pytest.raises(ServingError) as raised:
            load("toy", 3, str(copy))
        return raised.value.message

    write_records(copy, b"\xff\xff")
    assert "record 1" in message()
    assert "no PredictionLog" in message()
    log = prediction_log_pb2.PredictionLog()
    log.regress_log.SetInParent()
    write_records(copy, log.SerializeToString())
    assert "only predict_log" in message()
    toy_model.write_warmup(copy, "nope")
    assert "no signature 'nope'" in message()
    toy_model.write_warmup(copy, "generate")
    assert "missing: seeds" in message()
    file = write_records(copy, b"x" * 100)
    file.write_bytes(file.read_bytes()[:-20])
    assert "record 1" in message()
    file.unlink()
    load("toy", 3, str(copy)).retire(closed=lambda: None)


@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index"]
)
def test_a_broken_version_is_one_error(copy, file):
    (copy / file).write_bytes(b"broken")
    with pytest.raises(ServingError):
        load("toy", 3, str(copy))
    (copy / file).unlink()
    with pytest.raises(ServingError):
        load("toy", 3, str(copy))
