"""The client against servers with faults, and with wrong flags."""

import base64
import email.utils
import json
import signal
import socketserver
import subprocess
import sys
import threading
import time
from concurrent import futures

import pytest

from export import client
from tests.ports import free_ports

pytest_plugins = ["client_call"]

CAPTION = "a small red bird with a white belly"

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ"
    "/pLvAAAAAElFTkSuQmCC"
)


def http(status: str, body: bytes, *headers: str, length: int = 0) -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close"]
    lines.append(f"Content-Length: {length or len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def predictions(*values) -> bytes:
    return http("200 OK", json.dumps({"predictions": values}).encode())


GOOD = predictions({"b64": base64.b64encode(PNG).decode()})
BUSY = http("503 Service Unavailable", b'{"error": "queue is full"}')
SLOW_DOWN = http("429 Too Many Requests", b"slow down")


class Faulty:
    """A server that gives a raw answer a connection; the last one stays.

    None: it never answers.
    """

    def __init__(self, answers: list[bytes | None]):
        outer = self
        self.times: list[float] = []
        self.over = threading.Event()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                size = 0
                while (line := self.rfile.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                self.rfile.read(size)
                outer.times.append(time.monotonic())
                answer = answers[min(len(outer.times), len(answers)) - 1]
                if answer is None:
                    outer.over.wait(30)
                else:
                    self.wfile.write(answer)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, args=[0.02], daemon=True
        ).start()

    def stop(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def faulty():
    """Starts servers with faults."""
    started = []

    def start(*answers: bytes | None) -> Faulty:
        started.append(Faulty(list(answers)))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.mark.parametrize("refusal", [BUSY, SLOW_DOWN])
def test_a_busy_server_is_asked_again(call, faulty, refusal, tmp_path):
    server = faulty(refusal, refusal, GOOD)
    code, _, err = call(f"--url={server.url}", CAPTION)
    assert code == 0
    assert (tmp_path / "picture.png").read_bytes() == PNG
    assert len(server.times) == 3
    assert err.count("trying again in") == 2


def test_waits_grow_and_end(error_of, call, faulty, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(client, "FIRST_WAIT", 1.0)
    server = faulty(BUSY)
    code, _, err = call(f"--url={server.url}", "--retries=6", CAPTION)
    assert code == 1
    assert "given up after 7 tries" in err
    assert "queue is full" in err
    assert len(server.times) == 7
    least = [1, 2, 4, 8, 16, 16]
    for wait, low in zip(waits, least, strict=True):
        assert low <= wait <= 1.5 * low
    shares = {wait / low for wait, low in zip(waits, least, strict=True)}
    assert len(shares) > 1


def test_no_retries_asks_once(error_of, faulty):
    server = faulty(BUSY)
    assert "503" in error_of(f"--url={server.url}", "--retries=0", CAPTION)
    assert len(server.times) == 1


def in_two_seconds() -> str:
    # A date has whole seconds: at least one of the two is left.
    return email.utils.formatdate(time.time() + 2, usegmt=True)


@pytest.mark.parametrize("after", [lambda: "1", in_two_seconds])
def test_retry_after_is_honoured(call, faulty, after):
    refusal = http("503 Busy", b"", f"Retry-After: {after()}")
    server = faulty(refusal, GOOD)
    assert call(f"--url={server.url}", CAPTION)[0] == 0
    first, second = server.times
    assert second - first > 0.9


@pytest.mark.parametrize("after", ["soon", "-5", "", "Mon, 32 Foo 2000"])
def test_a_retry_after_that_says_nothing_is_passed_over(call, faulty, after):
    server = faulty(http("503 Busy", b"", f"Retry-After: {after}"), GOOD)
    assert call(f"--url={server.url}", CAPTION)[0] == 0
    assert len(server.times) == 2


def test_a_long_retry_after_is_left_to_the_user(error_of, faulty):
    server = faulty(http("503 Busy", b"", "Retry-After: 3600"), GOOD)
    error = error_of(f"--url={server.url}", CAPTION)
    assert "3600 s" in error
    assert len(server.times) == 1


HTML = http("200 OK", b"<!doctype html><title>A page</title>")


STRANGE = {
    "silence": (None, "within 0.5 s"),
    "nothing": (b"", "no answer from"),
    "garbage": (b"\x00\x01garbage\r\n\r\n", "no answer from"),
    "short": (http("200 OK", b"{}", length=500), "no answer from"),
    "page": (HTML, "A page"),
    "empty": (http("200 OK", b""), "one prediction"),
    "list": (http("200 OK", b"[]"), "one prediction"),
    "object": (http("200 OK", b"{}"), "one prediction"),
    "deep": (http("200 OK", b"[" * 100_000), "one prediction"),
    "none": (predictions(), "one prediction"),
    "two": (predictions(1, 2), "one prediction"),
    "no_base64": (predictions({"b64": "%%%"}), "one prediction"),
    "number_base64": (predictions({"b64": 3}), "one prediction"),
    "no_png": (predictions({"b64": "Tm8="}), "PNG"),
    "number": (predictions(0.5), "PNG"),
    "unnamed": (predictions({"image_bytes": {"b64": "Tm8="}}), "PNG"),
    "broken": (http("500 Oops", b"it broke"), "answered 500: it broke"),
    "broken_empty": (http("500 Oops", b""), "answered 500: Oops"),
    "missing": (
        http("404 Not Found", b'{"error": "no such"}'),
        "no such; check",
    ),
    "signature": (
        http("400 Bad", b'{"error": "no\\nsignature"}'),
        "no signature; check --url",
    ),
    "late": (http("504 Late", b'{"error": "too late"}'), "504: too late"),
    "elsewhere": (http("302 Found", b"", "Location: ftp://x/"), "302"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_an_answer_of_the_wrong_kind_is_one_line(error_of, faulty, name):
    answer, words = STRANGE[name]
    server = faulty(answer)
    error = error_of(f"--url={server.url}", "--timeout=0.5", CAPTION)
    assert words in error
    assert len(error) < 600


@pytest.mark.parametrize(
    "answer",
    [
        predictions(1),
        predictions({"lengths": 2}),
        predictions({"lengths": None, "tokens": ["a"], "attention_8": []}),
        predictions({"lengths": 1, "tokens": ["a"], "attention_8": [["x"]]}),
    ],
)
def test_attention_of_the_wrong_kind_is_one_line(error_of, faulty, answer):
    server = faulty(answer)
    error = error_of(f"--url={server.url}", "--attention", CAPTION)
    assert "attngan must answer generate_with" in error


@pytest.mark.parametrize(
    "scores",
    [{"score": 1}, {"sentence_score": "x", "word_score": 1}, [1, 2]],
)
def test_scores_of_the_wrong_kind_are_one_line(error_of, faulty, scores):
    server = faulty(GOOD, predictions(scores))
    error = error_of(f"--url={server.url}", "--best_of=1", CAPTION)
    assert "attngan_damsm must answer match" in error


# A shell's background jobs, and all they start, ignore the signal.
HEEDING_INTERRUPTS = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_an_interrupt_is_no_traceback(faulty):
    server = faulty(None)
    client_command = [client.__file__, f"--url={server.url}", CAPTION]
    command = [sys.executable, "-c", HEEDING_INTERRUPTS, *client_command]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while not server.times:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=10)[1] == "interrupted\n"
    assert run.returncode == 130


def test_a_refused_connection_is_one_line(error_of):
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    assert f"no answer from {url}: " in error_of(f"--url={url}", CAPTION)
    target = f"127.0.0.1:{port}"
    # Nobody is there: it is not asked again.
    error = error_of(f"--grpc={target}", CAPTION)
    assert f"no answer from {target}: " in error
    assert "trying again" not in error


@pytest.mark.parametrize("target", ["http://localhost:8500", "localhost"])
def test_a_grpc_target_has_a_port_and_no_scheme(error_of, target):
    error = error_of(f"--grpc={target}", CAPTION)
    assert f"--grpc must be like host:8500; received {target}" in error


def test_names_are_texts(error_of):
    error = error_of("--model_name=\udcff", CAPTION)
    assert "a name must be a text" in error


def test_an_unknown_host_is_one_line(error_of):
    error = error_of("--url=http://nobody.invalid:8501", CAPTION)
    assert "no answer from http://nobody.invalid:8501" in error
    error = error_of("--grpc=nobody.invalid:8500", CAPTION)
    assert "no answer from nobody.invalid:8500" in error


class FaultyService:
    """A PredictionService: UNAVAILABLE first, then a picture of 5 MB."""

    def __init__(self, code, refusals: int):
        self.code = code
        self.refusals = refusals
        self.requests = []

    def predict(self, request, context):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        self.requests.append(request)
        if len(self.requests) <= self.refusals:
            context.abort(self.code, "come back")
        answer = predict_pb2.PredictResponse()
        picture = PNG + bytes(5_000_000)
        answer.outputs["image_bytes"].CopyFrom(tf.make_tensor_proto([picture]))
        return answer


@pytest.fixture
def grpc_service():
    """Starts a FaultyService; returns it and its address."""
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    running = []

    def start(code: str, refusals: int):
        service = FaultyService(grpc.StatusCode[code], refusals)
        servicer = prediction_service_pb2_grpc.PredictionServiceServicer()
        servicer.Predict = service.predict
        server = grpc.server(
            futures.ThreadPoolExecutor(1),
            options=[("grpc.max_send_message_length", -1)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            servicer, server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        running.append(server)
        return service, f"127.0.0.1:{port}"

    yield start
    for server in running:
        server.stop(None).wait()


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_busy_grpc_server_is_asked_again(call, grpc_service, code, tmp_path):
    service, target = grpc_service(code, 2)
    result, _, err = call(f"--grpc={target}", "--seed=4", CAPTION)
    assert result == 0
    assert err.count("trying again in") == 2
    # More than gRPC lets through by itself.
    assert (tmp_path / "picture.png").stat().st_size > 5_000_000
    request = service.requests[-1]
    assert request.model_spec.signature_name == "generate_png"
    assert list(request.inputs["seeds"].int64_val) == [4]


@pytest.mark.parametrize(
    "code", ["INTERNAL", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT"]
)
def test_another_grpc_error_is_one_line(error_of, grpc_service, code):
    service, target = grpc_service(code, 9)
    assert target in error_of(f"--grpc={target}", CAPTION)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "a caption is needed"),
        (["a", "--seed=-1"], "--seed"),
        (["a", "--seed=x"], "received x"),
        (["a", f"--seed={2**53}"], "2^53 - 1"),
        (["a", "--seed=1.5"], "received 1.5"),
        (["a", "--samples=0"], "from 1 to"),
        (["a", "--retries=-1"], "--retries"),
        (["a", "--timeout=0"], "above 0"),
        (["a", "--timeout=nan"], "above 0"),
        (["a", "--timeout=x"], "above 0"),
        (["a", "--version=1", "--label=x"], "--label"),
        (["a", "--colour=red"], "--colour=red"),
        (["a", "--samp=2"], "--samp=2"),
        (["a", "--best_of=2", "--samples=3"], "received 2"),
        (["a", "--output=x.jpg"], "x.jpg"),
        (["a", "--output=nowhere/x.png"], "folder that exists"),
        (["a", "b", "--output=-"], "2 pictures"),
        (["a", "--attention", "--output=-"], "attention too"),
        (["a", "--url=localhost:8501"], "http://host:8501"),
        (["a", "--url=http://"], "http://host:8501"),
        (["a", "--url=http://host:port"], "http://host:8501"),
        (["a", "--url=ftp://host"], "http://host:8501"),
        (["a", "--url=http://host/?x=1"], "http://host:8501"),
        (["a", "--url=http://a..b"], "a..b"),
    ],
)
def test_a_wrong_flag_is_one_line(error_of, arguments, words):
    assert words in error_of(*arguments)


def test_a_file_that_cannot_be_written_is_one_line(error_of, faulty, tmp_path):
    url = f"--url={faulty(GOOD).url}"
    assert "cannot write" in error_of(url, f"--output={'x' * 300}.png", CAPTION)
    (tmp_path / "folder.png").mkdir()
    assert "folder.png" in error_of(url, "--output=folder.png", CAPTION)


def test_help_names_every_flag(call):
    code, out, _ = call("--help")
    assert code == 0
    for flag in ("--url", "--grpc", "--best_of", "--rank_model", "--retries"):
        assert flag in out


def test_a_caption_may_start_with_a_dash(call, faulty, tmp_path):
    url = f"--url={faulty(GOOD).url}"
    assert call(url, "--", "--seed is a fine word")[0] == 0
    assert (tmp_path / "picture.png").exists()


def test_samples_beyond_the_last_seed_are_refused(error_of):
    assert "2^53 - 1" in error_of("a", f"--seed={2**53 - 1}", "--samples=2")
