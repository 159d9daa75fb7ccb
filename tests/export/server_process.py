"""Servers in processes of their own, and requests over both protocols."""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.ports import free_ports

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "export" / "deploy"
DEVELOPMENT_SERVER = (sys.executable, "-m", "export.serve")
START_SECONDS = 120


@dataclasses.dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


class Client(contextlib.AbstractContextManager):
    """One kept connection; a body that is not bytes is sent as JSON."""

    def __init__(self, url: str, timeout: float = 60):
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=timeout
        )

    def __exit__(self, *_):
        self._connection.close()

    def send(self, verb: str, path: str, body=None, **headers: str) -> Answer:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self._connection.request(verb, path, body, headers)
        response = self._connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())

    def predict(self, model: str, body, choice: str = "") -> Answer:
        return self.send("POST", f"/v1/models/{model}{choice}:predict", body)


def predict_request(
    model: str, signature: str = "", **inputs
) -> predict_pb2.PredictRequest:
    """A request over gRPC; floats become float32."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    dtypes = {"captions": tf.string, "seeds": tf.int64}
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value, dtypes.get(name))
        request.inputs[name].CopyFrom(tensor)
    return request


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

    @contextlib.contextmanager
    def grpc_stub(self):
        """A PredictionServiceStub, connected."""
        with grpc.insecure_channel(self.grpc) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            yield prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def state(self, version: int) -> str:
        """A version's state; empty: nothing is known of it."""
        with self.client() as client:
            answer = client.send("GET", f"/v1/models/{self.model}").json()
        states = {
            int(entry["version"]): entry["state"]
            for entry in answer["model_version_status"]
        }
        return states.get(version, "")

    def is_ready(self) -> bool:
        """Whether version 1 is served; fails if the server has ended."""
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return self.state(1) == "AVAILABLE"
        return False

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=60)


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Returns once the condition holds; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


@contextlib.contextmanager
def served(
    log: pathlib.Path,
    *flags: str,
    model: str = "toy",
    program: Sequence[str] = DEVELOPMENT_SERVER,
) -> Iterator[Running]:
    """A server on free ports, killed at the end.

    Args:
      log: file for its output.
      flags: which models it serves, and how.
      model: the name of one of them, whose version 1 is waited for.
      program: the development server, or the path of the real one.
    """
    grpc_port, port = free_ports(2)
    ports = f"--port={grpc_port}", f"--rest_api_port={port}"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*program, *ports, *flags],
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        addresses = f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}"
        running = Running(process, *addresses, model, log)
        try:
            wait_for(running.is_ready, START_SECONDS)
            yield running
        finally:
            process.kill()


@contextlib.contextmanager
def under_load(server: Running, clients: int = 3) -> Iterator[tuple[list, set]]:
    """Sends the toy model requests; gives failures and distinct answers."""
    stop = threading.Event()
    failures, answers = [], set()

    def send():
        with server.client() as client:
            while not stop.is_set():
                answer = client.predict("toy", {"instances": ["a"]})
                if answer.status != 200:
                    failures.append(answer)
                answers.add(answer.body)
                time.sleep(0.01)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(send) for _ in range(clients)]
        try:
            yield failures, answers
        finally:
            stop.set()
        for future in futures:
            future.result()
