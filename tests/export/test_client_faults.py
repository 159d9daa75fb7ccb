"""The client with faulty servers, and with wrong flags."""

import base64
import signal
import subprocess
import sys
import time

import pytest
from faulty_servers import PNG, Faulty, FaultyService, http, predictions

from export import client
from tests.ports import free_ports

pytest_plugins = ["client_call"]

CAPTION = "a small red bird with a white belly"

GOOD_B64 = base64.b64encode(PNG).decode()
GOOD = predictions({"b64": GOOD_B64})
BUSY = http("503 Service Unavailable", b'{"error": "queue is full"}')
SLOW_DOWN = http("429 Too Many Requests", b"slow down")


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
def test_a_request_is_repeated_while_the_server_is_busy(
    call, faulty, refusal, tmp_path
):
    server = faulty(refusal, refusal, GOOD)
    code, _, err = call(f"--url={server.url}", CAPTION)
    assert code == 0
    assert (tmp_path / "picture.png").read_bytes() == PNG
    assert len(server.times) == 3
    assert err.count("retrying in") == 2


def test_waits_grow_and_have_a_random_part(call, faulty, waits):
    server = faulty(BUSY)
    code, _, err = call(f"--url={server.url}", "--retries=6", CAPTION)
    assert code == 1
    assert "queue is full; tries: 7" in err
    assert len(server.times) == 7
    shortest = [1, 2, 4, 8, 16, 16]
    factors = {a / b for a, b in zip(waits, shortest, strict=True)}
    assert len(factors) > 1
    assert min(factors) >= 1
    assert max(factors) <= 1.5


@pytest.fixture
def waits(call, monkeypatch):
    """The seconds that the client would have waited."""
    found = []
    monkeypatch.setattr(time, "sleep", found.append)
    monkeypatch.setattr(client, "FIRST_WAIT", 1.0)
    return found


def test_no_retries_sends_one_request(error_of, faulty):
    server = faulty(BUSY)
    assert "503" in error_of(f"--url={server.url}", "--retries=0", CAPTION)
    assert len(server.times) == 1


# The last one is a date, which is not read.
@pytest.mark.parametrize(
    ("after", "shortest"), [("9", 9), ("0", 1), ("Mon, 02 Nov 2026", 1)]
)
def test_retry_after_lengthens_the_wait(call, faulty, waits, after, shortest):
    server = faulty(http("503 Busy", b"", f"Retry-After: {after}"), GOOD)
    assert call(f"--url={server.url}", CAPTION)[0] == 0
    (wait,) = waits
    assert shortest <= wait <= 1.5 * shortest


def test_a_long_retry_after_is_left_to_the_user(error_of, faulty):
    server = faulty(http("503 Busy", b"", "Retry-After: 3600"), GOOD)
    assert "after 3600 s" in error_of(f"--url={server.url}", CAPTION)
    assert len(server.times) == 1


FAULTY_ANSWERS = {
    "silence": (None, "did not answer within 0.5 s"),
    "no bytes": (b"", "no answer from"),
    "short": (http("200 OK", b"{}", length=500), "no answer from"),
    "HTML": (http("200 OK", b"<!doctype html>"), "received '<!doctype"),
    "no JSON object": (http("200 OK", b"[]"), "one prediction"),
    "two": (predictions(1, 2), "one prediction"),
    "no base64": (predictions({"b64": "%%%"}), "one prediction"),
    "no PNG": (predictions({"b64": "Tm8="}), "must answer serving_default"),
    "a number": (predictions(0.5), "must answer serving_default"),
    "500": (http("500 Oops", b"it broke"), "answered 500: 'it broke'"),
    "500 without text": (http("500 Oops", b""), "answered 500: Oops"),
    "404": (http("404 No", b'{"error": "no such"}'), "no such; check --url"),
    "400": (http("400 Bad", b'{"error": "a\\nb"}'), "a b; check --url"),
}


@pytest.mark.parametrize("name", FAULTY_ANSWERS)
def test_a_faulty_answer_is_one_line(error_of, faulty, name):
    answer, words = FAULTY_ANSWERS[name]
    server = faulty(answer)
    error = error_of(f"--url={server.url}", "--timeout=0.5", CAPTION)
    assert words in error
    assert len(error) < 600


@pytest.mark.parametrize(
    "outputs",
    [
        1,
        {"lengths": 2},
        {"image_bytes": {"b64": GOOD_B64}, "lengths": 1, "tokens": None},
    ],
)
def test_faulty_attention_is_one_line(error_of, faulty, outputs):
    server = faulty(predictions(outputs))
    error = error_of(f"--url={server.url}", "--attention", CAPTION)
    assert "attngan must answer generate_with_attention" in error


@pytest.mark.parametrize("scores", [{"sentence_score": 1}, [1, 2]])
def test_faulty_scores_are_one_line(error_of, faulty, scores):
    server = faulty(GOOD, predictions(scores))
    error = error_of(f"--url={server.url}", "--best_of=1", CAPTION)
    assert "attngan_damsm must answer match" in error


# Background jobs of a shell, and all they start, ignore SIGINT.
WITH_SIGINT = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_an_interrupt_is_one_line(faulty):
    server = faulty(None)
    client_command = [client.__file__, f"--url={server.url}", CAPTION]
    command = [sys.executable, "-c", WITH_SIGINT, *client_command]
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
    error = error_of(f"--grpc=127.0.0.1:{port}", "--retries=0", CAPTION)
    assert f"127.0.0.1:{port} answered UNAVAILABLE: " in error


@pytest.mark.parametrize("target", ["http://localhost:8500", "localhost"])
def test_a_grpc_target_has_a_port_and_no_scheme(error_of, target):
    error = error_of(f"--grpc={target}", CAPTION)
    assert f"--grpc must be like host:8500; received {target}" in error


def test_an_unknown_host_is_one_line(error_of):
    error = error_of("--url=http://nobody.invalid:8501", CAPTION)
    assert "no answer from http://nobody.invalid:8501" in error


@pytest.fixture
def grpc_service():
    """Starts a FaultyService; returns it and its address."""
    running = []

    def start(code: str, refusals: int):
        service = FaultyService(code, refusals)
        server, address = service.serve()
        running.append(server)
        return service, address

    yield start
    for server in running:
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
    request = service.requests[-1]
    assert request.model_spec.signature_name == "generate_png"
    assert list(request.inputs["seeds"].int64_val) == [4]


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
        (["a", "--seed=1.5"], "received 1.5"),
        (["a", "--timeout=x"], "--timeout"),
        (["a", "--version=1", "--label=x"], "--label"),
        (["a", "--colour=red"], "--colour=red"),
        (["a", "--samp=2"], "--samp=2"),
        (["a", "--best_of=2", "--samples=3"], "received 2"),
        (["a", "--output=x.jpg"], "x.jpg"),
        (["a", "--output=nowhere/x.png"], "folder that exists"),
        (["a", "b", "--output=-"], "2 images"),
        (["a", "--attention", "--output=-"], "with attention"),
        (["a", "--url=localhost:8501"], "http://host:8501"),
        (["a", "--url=http://"], "http://host:8501"),
        (["a", "--url=http://host:port"], "http://host:8501"),
        (["a", "--url=http://host/?x=1"], "http://host:8501"),
        (["a", "--url=http://a..b"], "no answer from http://a..b"),
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
