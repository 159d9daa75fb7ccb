"""The client with faulty servers, and with wrong flags."""

import base64
import contextlib
import signal
import subprocess
import sys
import time
from concurrent import futures

import grpc
import pytest
import tensorflow as tf
from fake_server import FakeServer
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export import client
from tests.ports import free_ports

CAPTION = "a small red bird with a white belly"
PNG = client.PNG + b"the rest, which the client does not read"
PNG_B64 = {"b64": base64.b64encode(PNG).decode()}


def predictions(*values) -> tuple:
    return 200, {"predictions": values}


GOOD = predictions(PNG_B64)
BUSY = 503, {"error": "queue is full"}
SLOW_DOWN = 429, b"slow down"


@pytest.fixture
def faulty():
    """Starts servers that send these answers in turn, repeating the last.

    None stands for no answer.
    """
    with contextlib.ExitStack() as stack:

        def start(*answers) -> FakeServer:
            def answer(_):
                found = answers[min(len(server.requests), len(answers)) - 1]
                if found is None:
                    server.closing.wait(30)
                return found or b""

            server = stack.enter_context(FakeServer(answer))
            return server

        yield start


@pytest.mark.parametrize("refusal", [BUSY, SLOW_DOWN])
def test_a_request_is_repeated_while_the_server_is_busy(
    call, faulty, refusal, tmp_path
):
    server = faulty(refusal, refusal, GOOD)
    code, _, err = call(f"--url={server.url}", CAPTION)
    assert code == 0
    assert (tmp_path / "picture.png").read_bytes() == PNG
    assert len(server.requests) == 3
    assert err.count("retrying in") == 2


@pytest.fixture
def waits(call, monkeypatch):
    """The seconds that the client would have waited."""
    found = []
    monkeypatch.setattr(time, "sleep", found.append)
    monkeypatch.setattr(client, "FIRST_WAIT", 1.0)
    return found


def test_waits_grow_and_have_a_random_part(call, faulty, waits):
    server = faulty(BUSY)
    code, _, err = call(f"--url={server.url}", "--retries=6", CAPTION)
    assert code == 1
    assert "queue is full; tries: 7" in err
    assert len(server.requests) == 7
    shortest = [1, 2, 4, 8, 16, 16]
    factors = {a / b for a, b in zip(waits, shortest, strict=True)}
    assert len(factors) > 1
    assert min(factors) >= 1
    assert max(factors) <= 1.5


FAULTY_ANSWERS = {
    "silence": (None, "did not answer within 0.5 s"),
    "no bytes": (b"", "no answer from"),
    "cut off": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        "no answer from",
    ),
    "HTML": ((200, b"<!doctype html>"), "received '<!doctype"),
    "no JSON object": ((200, []), "one prediction"),
    "two": (predictions(1, 2), "one prediction"),
    "no base64": (predictions({"b64": "%%%"}), "one prediction"),
    "no PNG": (predictions({"b64": "Tm8="}), "must answer serving_default"),
    "a number": (predictions(0.5), "must answer serving_default"),
    "500": ((500, b"it broke"), "answered 500: 'it broke'"),
    "500 without text": ((500, b""), "answered 500: Internal Server Error"),
    "404": ((404, {"error": "no such"}), "no such; check --url"),
    "400": ((400, {"error": "a\nb"}), "a b; check --url"),
}


@pytest.mark.parametrize("name", FAULTY_ANSWERS)
def test_a_faulty_answer_is_one_line(error_of, faulty, name):
    answer, words = FAULTY_ANSWERS[name]
    server = faulty(answer)
    error = error_of(f"--url={server.url}", "--timeout=0.5", CAPTION)
    assert words in error
    assert len(error) < 600


NO_TOKENS = {"image_bytes": PNG_B64, "lengths": 1, "tokens": None}


@pytest.mark.parametrize(
    ("answers", "flag", "words"),
    [
        ([1], "--attention", "attngan must answer generate_with_attention"),
        ([NO_TOKENS], "--attention", "must answer generate_with_attention"),
        (
            [PNG_B64, {"sentence_score": 1}],
            "--best_of=1",
            "attngan_damsm must answer match",
        ),
        ([PNG_B64, [1, 2]], "--best_of=1", "must answer match"),
    ],
)
def test_other_outputs_are_one_line(error_of, faulty, answers, flag, words):
    server = faulty(*map(predictions, answers))
    assert words in error_of(f"--url={server.url}", flag, CAPTION)


def test_an_interrupt_is_one_line(faulty):
    server = faulty(None)
    url = f"--url={server.url}"
    command = [sys.executable, client.__file__, url, CAPTION]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while not server.requests:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=10)[1] == "interrupted\n"
    assert run.returncode == 130


def test_a_server_that_is_not_there_is_one_line(error_of):
    (port,) = free_ports(1)
    for url in (f"http://127.0.0.1:{port}", "http://nobody.invalid:8501"):
        assert f"no answer from {url}: " in error_of(f"--url={url}", CAPTION)
    error = error_of(f"--grpc=127.0.0.1:{port}", "--retries=0", CAPTION)
    assert f"127.0.0.1:{port} answered UNAVAILABLE: " in error


class FaultyService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Refuses some requests with a code, then sends 5 MB."""

    def __init__(self, code: str, refusals: int):
        self.code = grpc.StatusCode[code]
        self.refusals = refusals
        self.requests = []

    def Predict(self, request, context):  # noqa: N802  the protocol's name
        self.requests.append(request)
        if len(self.requests) <= self.refusals:
            context.abort(self.code, "queue is full")
        answer = predict_pb2.PredictResponse()
        image = PNG + bytes(5_000_000)
        answer.outputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        return answer


@pytest.fixture
def grpc_service():
    """Starts a FaultyService; returns it and its address."""
    options = [("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(1), options=options)

    def start(code: str, refusals: int):
        service = FaultyService(code, refusals)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            service, server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return service, f"127.0.0.1:{port}"

    yield start
    server.stop(None).wait()


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_grpc_request_is_repeated_while_the_server_is_busy(
    call, grpc_service, code, tmp_path
):
    service, target = grpc_service(code, 2)
    result, _, err = call(f"--grpc={target}", "--seed=4", CAPTION)
    assert result == 0
    assert err.count("retrying in") == 2
    # More than gRPC accepts by default.
    assert (tmp_path / "picture.png").stat().st_size > 5_000_000
    assert len(service.requests) == 3


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("INTERNAL", "answered INTERNAL: queue is full"),
        ("DEADLINE_EXCEEDED", "did not answer within 60 s"),
        ("INVALID_ARGUMENT", "check --url or --grpc"),
    ],
)
def test_another_grpc_error_is_one_line(error_of, grpc_service, code, words):
    service, target = grpc_service(code, 9)
    error = error_of(f"--grpc={target}", CAPTION)
    assert target in error
    assert words in error
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "at least one caption"),
        (["a", "--samples=0"], "one sample"),
        (["a", "--seed=-1"], "--seed"),
        (["a", f"--seed={2**53}"], "2^53 - 1"),
        (["a", "--version=1", "--label=x"], "--label"),
        (["a", "--colour=red"], "--colour=red"),
        (["a", "--samp=2"], "--samp=2"),
        (["a", "--best_of=2", "--samples=3"], "received 2"),
        (["a", "--output=x.jpg"], "x.jpg"),
        (["a", "--output=nowhere/x.png"], "folder that exists"),
        (["a", "b", "--output=-"], "2 images"),
        (["a", "--attention", "--output=-"], "with attention"),
        (["a", "--url=localhost:8501"], "http://host:8501"),
        (["a", "--url=http://host:port"], "no answer from http://host:port"),
        (["a", "--url=http://host/?x=1"], "http://host:8501"),
        (["a", "--url=http://a..b"], "no answer from http://a..b"),
        (["a", "--grpc=http://localhost:8500"], "--grpc must be like host:"),
        (["a", "--grpc=localhost"], "like host:8500; received localhost"),
    ],
)
def test_a_wrong_flag_is_one_line(error_of, arguments, words):
    assert words in error_of(*arguments)


def test_a_file_that_cannot_be_written_is_one_line(error_of, faulty):
    url = f"--url={faulty(GOOD).url}"
    assert "cannot write" in error_of(url, f"--output={'x' * 300}.png", CAPTION)


def test_a_caption_may_start_with_a_dash(call, faulty, tmp_path):
    url = f"--url={faulty(GOOD).url}"
    assert call(url, "--", "--seed is a fine word")[0] == 0
    assert (tmp_path / "picture.png").exists()
