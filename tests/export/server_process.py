"""A server in a process of its own, and plain HTTP to it."""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 120


@dataclasses.dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


class Client:
    """One kept connection; a body that is not bytes is sent as JSON."""

    def __init__(self, url: str, timeout: float = 60):
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=timeout
        )

    def send(self, verb: str, path: str, body=None, **headers: str) -> Answer:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self._connection.request(verb, path, body, headers)
        response = self._connection.getresponse()
        # HEAD has a length and no body.
        return Answer(response.status, dict(response.headers), response.read())

    def predict(self, model: str, body, choice: str = "") -> Answer:
        return self.send("POST", f"/v1/models/{model}{choice}:predict", body)

    def close(self) -> None:
        self._connection.close()


@dataclasses.dataclass
class Running:
    """A server that is ready."""

    process: subprocess.Popen
    url: str
    grpc: str
    model: str
    log: pathlib.Path

    def client(self) -> Client:
        return Client(self.url)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def state(self, version: int) -> str:
        """A version's state; empty: nothing is known of it."""
        with contextlib.closing(self.client()) as client:
            answer = client.send("GET", f"/v1/models/{self.model}").json()
        states = {
            int(entry["version"]): entry["state"]
            for entry in answer["model_version_status"]
        }
        return states.get(version, "")


def wait_for(condition, seconds: float = 30) -> None:
    """Returns once the condition holds; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def command_line(*flags: str) -> list[str]:
    return [sys.executable, "-m", "export.serve", *flags]


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


@contextlib.contextmanager
def development_server(
    base: pathlib.Path, log: pathlib.Path, *flags: str, model: str = "toy"
) -> Iterator[Running]:
    """The development server with one model, on free ports."""
    which = (f"--model_name={model}", f"--model_base_path={base}")
    with served(log, *which, *flags, model=model) as running:
        yield running


@contextlib.contextmanager
def served(
    log: pathlib.Path, *flags: str, model: str = "toy"
) -> Iterator[Running]:
    """The development server on free ports."""
    arguments = command_line("--port=0", "--rest_api_port=0", *flags)
    with _started(arguments, log) as process:
        pattern = r"REST at (http://[^/]+)/v1/models/\S+, gRPC at (\S+)"
        wait_for(
            lambda: (
                re.search(pattern, log.read_text())
                or process.poll() is not None
            ),
            START_SECONDS,
        )
        found = re.search(pattern, log.read_text())
        assert found, log.read_text()
        yield Running(process, found[1], found[2], model, log)


@contextlib.contextmanager
def real_server(
    binary: str,
    base: pathlib.Path,
    log: pathlib.Path,
    *flags: str,
    model: str = "toy",
) -> Iterator[Running]:
    """tensorflow_model_server itself, where a machine has it."""
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    arguments = [
        binary,
        f"--model_name={model}",
        f"--model_base_path={base}",
        f"--port={ports[0]}",
        f"--rest_api_port={ports[1]}",
        *flags,
    ]
    url = f"http://127.0.0.1:{ports[1]}"
    with _started(arguments, log) as process:
        running = Running(process, url, f"127.0.0.1:{ports[0]}", model, log)

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError):
                return running.state(1) == "AVAILABLE"
            return False

        wait_for(ready, START_SECONDS)
        yield running


@contextlib.contextmanager
def _started(
    arguments: list[str], log: pathlib.Path
) -> Iterator[subprocess.Popen]:
    with (
        log.open("w") as output,
        subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
