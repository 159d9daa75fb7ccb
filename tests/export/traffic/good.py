"""Good clients: what they ask for, and whether the answer is right."""

import base64
import contextlib
import io
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import grpc
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.export.server_process import Client, Running

PAUSE = 0.4  # seconds between two requests of a client, at most
MOST_ROWS = 8
CAPTIONS = [
    *(
        f"a small {crown} bird with {wings} wings"
        for crown in ("red", "blue", "yellow", "black")
        for wings in ("grey", "white", "brown")
    ),
    "",
    "UNKNOWN wörds, \U0001f426 and \0 nothing else",
    "a bird " * 20_000,
]
SIGNATURES = ("serving_default", "generate_png")

# The answers, one row at a time, of a process that has no server.
SESSION = """
import base64, json, sys
import numpy as np
import tensorflow as tf

folder, captions = sys.argv[1], json.load(sys.stdin)
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    found = {}
    for name in ("serving_default", "generate_png"):
        signature = loaded.signature_def[name]
        fetch = signature.outputs["image_bytes"].name
        found[name] = []
        for seed, caption in enumerate(captions):
            feed = {signature.inputs["captions"].name: [caption.encode()]}
            if "seeds" in signature.inputs:
                feed[signature.inputs["seeds"].name] = [seed]
            (png,) = session.run(fetch, feed)
            found[name].append(base64.b64encode(png).decode())
    print(json.dumps(found))
"""


class Wanted(NamedTuple):
    """A request: of a model's signature, for captions by their numbers."""

    model: str
    signature: str
    rows: list[int]


def expected(folder: pathlib.Path) -> dict[str, list[bytes]]:
    """A version's pictures of CAPTIONS, by signature; seeds count them."""
    done = subprocess.run(
        [sys.executable, "-c", SESSION, folder],
        input=json.dumps(CAPTIONS),
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    return {
        name: [base64.b64decode(png) for png in pngs]
        for name, pngs in json.loads(done.stdout).items()
    }


def same(png: bytes, wanted: bytes) -> bool:
    """Whether pictures are equal; batches of other sizes may round."""
    if png == wanted:
        return True
    first, second = (
        np.asarray(Image.open(io.BytesIO(x)), np.int32) for x in (png, wanted)
    )
    return first.shape == second.shape and np.abs(first - second).max() <= 1


def proto(wanted: Wanted) -> predict_pb2.PredictRequest:
    """The request over gRPC."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = wanted.model
    request.model_spec.signature_name = wanted.signature
    captions = [CAPTIONS[row].encode() for row in wanted.rows]
    request.inputs["captions"].CopyFrom(tf.make_tensor_proto(captions))
    if wanted.signature == "generate_png":
        seeds = tf.make_tensor_proto(wanted.rows, tf.int64)
        request.inputs["seeds"].CopyFrom(seeds)
    return request


def document(wanted: Wanted) -> dict:
    """The request over REST, in row or columnar form."""
    columns = {"captions": [CAPTIONS[row] for row in wanted.rows]}
    if wanted.signature == "generate_png":
        columns["seeds"] = wanted.rows
    named = {"signature_name": wanted.signature}
    if random.random() < 0.5:
        return named | {"inputs": columns}
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    return named | {"instances": rows}


def over_rest(client: Client, wanted: Wanted) -> list[bytes]:
    """The pictures; raises where there are none."""
    answer = client.predict(wanted.model, document(wanted))
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.body[:200]}")
    (values,) = answer.json().values()
    return [base64.b64decode(value["b64"]) for value in values]


def over_grpc(channel: grpc.Channel, wanted: Wanted) -> list[bytes]:
    """The pictures; raises where there are none."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(proto(wanted), timeout=30)
    return list(tf.make_ndarray(answer.outputs["image_bytes"]))


class Crew:
    """Good clients in threads; requests by kind, their seconds and faults.

    Args:
      server: what they ask.
      pictures: right answers, by model and signature.
    """

    def __init__(
        self, server: Running, pictures: dict[str, dict[str, list[bytes]]]
    ):
        self._server = server
        self._pictures = pictures
        self._ended = threading.Event()
        self.seconds: dict[str, list[float]] = {}
        self.faults: list[str] = []
        self._threads = [
            threading.Thread(target=self._work, args=[name, open_, ask, kept])
            for (name, open_, ask), kept in itertools.product(
                (
                    ("REST", server.client, over_rest),
                    ("gRPC", self._channel, over_grpc),
                ),
                (True, True, False),
            )
        ]

    def _channel(self) -> grpc.Channel:
        # Else channels of one process share a connection.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(self._server.grpc, alone)

    def _work(
        self, name: str, open_: Callable, ask: Callable, kept: bool
    ) -> None:
        name += ", kept connection" if kept else ", new connections"
        with contextlib.ExitStack() as stack:
            link = None
            while not self._ended.wait(random.random() * PAUSE):
                if not (kept and link):
                    stack.close()
                    link = stack.enter_context(contextlib.closing(open_()))
                begin = time.monotonic()
                try:
                    fault = self._fault(ask, link)
                except Exception as error:  # of any kind: it is counted
                    fault = repr(error)
                    link = None
                if fault:
                    self.faults.append(f"{name}: {fault}")
                self.seconds.setdefault(name, []).append(
                    time.monotonic() - begin
                )

    def _fault(self, ask: Callable, link) -> str:
        """What is wrong with an answer."""
        model = random.choice(list(self._pictures))
        rows = random.choices(
            range(len(CAPTIONS)), k=random.randint(1, MOST_ROWS)
        )
        wanted = Wanted(model, random.choice(SIGNATURES), rows)
        pngs = ask(link, wanted)
        right = [self._pictures[model][wanted.signature][x] for x in rows]
        if len(pngs) != len(right) or not all(map(same, pngs, right)):
            return f"wrong pictures for {wanted}"
        return ""

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()
