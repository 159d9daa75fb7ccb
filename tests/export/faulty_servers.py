"""Faulty servers of REST and gRPC, for the tests of the client."""

import json
import socketserver
import threading
import time
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export import client

PNG = client.PNG + b"the rest, which the client does not read"


def http(status: str, body: bytes, *headers: str, length: int = 0) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status}", *headers, "Connection: close"]
    lines.append(f"Content-Length: {length or len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def predictions(*values) -> bytes:
    return http("200 OK", json.dumps({"predictions": values}).encode())


class Faulty:
    """A server that sends one raw answer per connection, repeating the last.

    None stands for no answer.
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


class FaultyService:
    """A PredictionService that refuses at first, then sends 5 MB."""

    def __init__(self, code: str, refusals: int):
        self.code = grpc.StatusCode[code]
        self.refusals = refusals
        self.requests = []

    def predict(self, request, context):
        self.requests.append(request)
        if len(self.requests) <= self.refusals:
            context.abort(self.code, "queue is full")
        answer = predict_pb2.PredictResponse()
        image = PNG + bytes(5_000_000)
        answer.outputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        return answer

    def serve(self) -> tuple[grpc.Server, str]:
        """Starts a server; returns it and its address."""
        servicer = prediction_service_pb2_grpc.PredictionServiceServicer()
        servicer.Predict = self.predict
        server = grpc.server(
            futures.ThreadPoolExecutor(1),
            options=[("grpc.max_send_message_length", -1)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            servicer, server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, f"127.0.0.1:{port}"
