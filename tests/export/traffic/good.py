"""Good clients: what they ask for, and whether the answer is right."""

import base64
import contextlib
import functools
import pathlib
import random
import time
from collections.abc import Callable

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.export.loaded import Loaded
from tests.export.server_process import Client, Running

PAUSE = 0.2  # seconds between two requests of a client, at most
MAX_ROWS = 8
CAPTIONS = [
    "a small red bird with a white belly",
    "this bird is blue",
    "",
    "UNKNOWN wörds, \U0001f426 and \0 nothing else",
    "a bird " * 20_000,
]
SIGNATURE = "generate_png"
Images = list[bytes]


def expected(version: pathlib.Path) -> Images:
    """The images of CAPTIONS, by a Session; the seeds are their indices."""
    captions = [text.encode() for text in CAPTIONS]
    seeds = list(range(len(CAPTIONS)))
    loaded = Loaded(version)
    found = loaded.run(SIGNATURE, captions=captions, seeds=seeds)
    loaded.session.close()
    return list(found["image_bytes"])


def over_rest(client: Client, model: str, rows: list[int]) -> Images:
    """The images, by a request in row or columnar form."""
    captions = [CAPTIONS[row] for row in rows]
    body = {"inputs": {"captions": captions, "seeds": rows}}
    if random.random() < 0.5:
        pairs = zip(captions, rows, strict=True)
        body = {"instances": [{"captions": c, "seeds": s} for c, s in pairs]}
    answer = client.predict(model, {"signature_name": SIGNATURE, **body})
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.body[:200]}")
    (values,) = answer.json().values()
    return [base64.b64decode(value["b64"]) for value in values]


def over_grpc(channel: grpc.Channel, model: str, rows: list[int]) -> Images:
    """The images."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = SIGNATURE
    captions = [CAPTIONS[row].encode() for row in rows]
    request.inputs["captions"].CopyFrom(tf.make_tensor_proto(captions))
    request.inputs["seeds"].CopyFrom(tf.make_tensor_proto(rows, tf.int64))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=30)
    return list(tf.make_ndarray(answer.outputs["image_bytes"]))


def work(
    server: Running, images: Images, protocol: str, kept: bool, end: float
) -> tuple[list[float], list[str]]:
    """Sends requests until `end` (of `time.monotonic`).

    Args:
      server: what is asked.
      images: see `expected`.
      protocol: REST or gRPC.
      kept: whether one connection is used for all requests.
      end: when to stop.

    Returns:
      The seconds of the requests, and what was wrong with those that failed.
    """
    connect, ask = _PROTOCOLS[protocol]
    seconds, faults = [], []
    connection = None
    with contextlib.ExitStack() as stack:
        while time.monotonic() < end:
            time.sleep(random.random() * PAUSE)
            begin = time.monotonic()
            try:
                if connection is None or not kept:
                    stack.close()
                    connection = contextlib.closing(connect(server))
                    connection = stack.enter_context(connection)
                _check(functools.partial(ask, connection), server, images)
            except Exception as error:  # of any kind: it is counted
                faults.append(f"{protocol}: {error!r}")
                connection = None
            seconds.append(time.monotonic() - begin)
    return seconds, faults


def _check(ask: Callable, server: Running, images: Images) -> None:
    count = random.randint(1, MAX_ROWS)
    rows = random.choices(range(len(CAPTIONS)), k=count)
    if ask(server.model, rows) != [images[row] for row in rows]:
        raise RuntimeError(f"wrong images for {rows}")


_PROTOCOLS = {
    "REST": (Running.client, over_rest),
    "gRPC": (lambda server: grpc.insecure_channel(server.grpc), over_grpc),
}
