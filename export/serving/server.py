"""The whole server: models, batching, both protocols, and its end."""

import dataclasses
import functools
import logging
import signal
import threading
import time

import tensorflow as tf

from attngan_tf.errors import UserError
from export.serving import model_settings, warmup
from export.serving.batching import Batcher
from export.serving.console import tell
from export.serving.errors import Code, ServingError
from export.serving.grpc_api import services
from export.serving.grpc_server import GrpcServer
from export.serving.http_server import HttpServer
from export.serving.limits import Limits, open_files_for
from export.serving.models import Models
from export.serving.monitoring import Metrics
from export.serving.ports import address, bind, in_use
from export.serving.predictor import Predictor
from export.serving.rest import RestApp
from export.serving.servable import Servable
from export.serving.settings import BatchingSettings, Settings

DRAIN_SECONDS = 20.0  # Kubernetes and Docker's file kill after 30


def load(
    model: str,
    version: int,
    path: str,
    config: tf.compat.v1.ConfigProto | None = None,
) -> Servable:
    """A version, loaded and warmed up; see `Servable`."""
    servable = Servable(model, version, path, config)
    servable.acquire()
    try:
        warmup.run(servable, path)
    except Exception as error:
        servable.retire(closed=lambda: None)
        if isinstance(error, ServingError):
            raise
        # A version that nobody foresaw must not end the watch for others.
        name = type(error).__name__
        raise ServingError(Code.UNKNOWN, f"{name}: {error}") from error
    finally:
        servable.release()
    return servable


class Server:
    """Loads the models and answers on both ports until `stop`."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._fault = ""  # of the config file, when it was last read
        batching = settings.batching or BatchingSettings()
        self._metrics = Metrics(batching.thread_pool_name)
        self._batcher = (
            Batcher(settings.batching, self._metrics.queuing)
            if settings.batching
            else None
        )
        threads = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=settings.intra_op_threads,
            inter_op_parallelism_threads=settings.inter_op_threads,
        )
        self._models = Models(
            settings.models,
            functools.partial(load, config=threads),
            settings.labels_may_wait,
        )
        self._predictor = Predictor(
            self._models, self._batcher, self._metrics, settings.max_rows
        )

    def start(self) -> None:
        """Loads the models and begins to answer.

        Raises:
          UserError: a model cannot be loaded, or a port is in use.
        """
        settings = self._settings
        limits = self._limits()
        self._models.start()
        self._models.watch(self._models.poll, settings.poll_seconds)
        self._models.watch(self._reread, settings.reread_seconds)
        bound = bind("rest_api_port", settings.host, settings.rest_api_port)
        self._http = HttpServer(
            RestApp(settings, self._predictor, self._metrics),
            bound,
            settings.rest_threads,
            limits,
        )
        self._grpc = GrpcServer(
            services(self._predictor), settings.grpc_threads, limits
        )
        try:
            port = self._grpc.add_port(address(settings.host, settings.port))
        except RuntimeError as error:
            raise in_use("port", settings.port, error) from None
        self._http.start()
        self._grpc.start()
        self._ready = bound, port

    def _limits(self) -> Limits:
        wanted = self._settings.limits
        most = open_files_for(wanted.connections)
        if most < wanted.connections:
            tell(
                f"{most} connections, not --max_connections="
                f"{wanted.connections}: no more open files are allowed "
                "(ulimit -n)"
            )
        return dataclasses.replace(wanted, connections=most)

    def _reread(self) -> None:
        fault = ""
        try:
            path = self._settings.model_config_file
            self._models.change(model_settings.read_file(path))
        except UserError as error:  # what is served stays
            fault = str(error)
        if fault and fault != self._fault:
            tell(fault)
        self._fault = fault

    def tell_ready(self) -> None:
        """Prints where it answers."""
        bound, grpc_port = self._ready
        host = self._settings.host
        rest = address(host, bound.getsockname()[1])
        names = [model.settings.name for model in self._models]
        if self._settings.page:
            tell(f"a page to draw from: http://{rest}/")
        tell(
            f"ready: {', '.join(names)}; REST at "
            f"http://{rest}/v1/models/{names[0]}, gRPC at "
            f"{address(host, grpc_port)}"
        )

    def stop(self) -> str:
        """Answers what has begun, accepts no more, and unloads the models.

        Returns:
          What had not ended in time; empty: everything had.
        """
        begin = time.monotonic()
        grpc_ended = self._grpc.stop(DRAIN_SECONDS)
        http_done = self._http.stop(DRAIN_SECONDS)
        grpc_ended.result()
        # gRPC does not tell whether it had to cancel.
        done = http_done and time.monotonic() - begin < DRAIN_SECONDS
        if not done:
            return "some requests took too long; they were cut off"
        loaded = self._models.close()
        if self._batcher:
            self._batcher.close()
        return "" if loaded else "a version was still loading"


def serve(settings: Settings) -> str:
    """Serves until SIGTERM or SIGINT.

    Returns:
      See `Server.stop`.

    Raises:
      UserError: a model cannot be loaded, or a port is in use.
    """
    # It calls the loader that the real server uses deprecated.
    tf.get_logger().setLevel(logging.ERROR)
    ended = threading.Event()
    server = Server(settings)
    server.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.tell_ready()
    ended.wait()
    tell("finishing what is running")
    return server.stop()
