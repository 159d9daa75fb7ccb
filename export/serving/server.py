"""Runs the server: models, batching, both protocols, and its shutdown."""

import functools
import logging
import signal
import threading
import time

import tensorflow as tf

from export.serving import grpc_api, model_settings, warmup
from export.serving.batching import Batcher
from export.serving.console import report
from export.serving.errors import ServingError
from export.serving.http_server import HttpServer
from export.serving.models import Models
from export.serving.ports import address, bind, in_use
from export.serving.predictor import Predictor
from export.serving.rest import RestApp
from export.serving.servable import Servable
from export.serving.settings import Settings

_SIGNAL_SECONDS = 0.2  # between two checks for a signal
_POLL_SECONDS = 1.0  # between two searches for new versions
_DRAIN_SECONDS = 20.0  # Kubernetes kills after 30


def load(
    model: str,
    version: int,
    path: str,
    config: tf.compat.v1.ConfigProto | None = None,
) -> Servable:
    """A version, loaded and warmed up; see `Servable`."""
    servable = Servable(model, version, path, config)
    try:
        warmup.run(servable, path)
    except ServingError:
        servable.retire(closed=lambda: None)
        raise
    return servable


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then completes running requests.

    Raises:
      UserError: a model cannot be loaded, or a port is in use.
    """
    models = _started_models(settings)
    batcher = Batcher(settings.batching) if settings.batching else None
    predictor = Predictor(models, batcher, settings.max_rows)
    bound = bind("rest_api_port", settings.host, settings.rest_api_port)
    rest = HttpServer(
        RestApp(settings, predictor),
        bound,
        settings.max_request_bytes,
        settings.rest_api_timeout_in_ms / 1000,
    )
    grpc = grpc_api.make_server(predictor, settings.max_request_bytes)
    try:
        port = grpc.add_insecure_port(address(settings.host, settings.port))
    except RuntimeError as error:
        raise in_use("port", settings.port, error) from None
    rest.start()
    grpc.start()
    update = functools.partial(_keep_current, models, settings)
    threading.Thread(target=update, daemon=True).start()
    signals = []  # an Event's lock would not be safe in a signal handler
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.append(number))
    _report_ready(settings, bound.getsockname()[1], port)
    while not signals:  # a signal in another thread would wake nobody
        time.sleep(_SIGNAL_SECONDS)
    report("completing the running requests")
    grpc_ended = grpc.stop(_DRAIN_SECONDS)
    if not rest.drain(_DRAIN_SECONDS):
        report("some requests took too long and were cut off")
    grpc_ended.wait()


def _started_models(settings: Settings) -> Models:
    # TensorFlow warns that this loader, the real server's, is deprecated.
    tf.get_logger().setLevel(logging.ERROR)
    threads = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=settings.tensorflow_intra_op_parallelism
    )
    models = Models(
        functools.partial(load, config=threads),
        settings.allow_version_labels_for_unavailable_models,
    )
    models.start(settings.models)
    return models


def _keep_current(models: Models, settings: Settings) -> None:
    """Loads new versions, and follows changes of the config file."""
    seconds = settings.model_config_file_poll_wait_seconds
    wanted, read_at, last_fault = settings.models, time.monotonic(), ""
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            if seconds and time.monotonic() - read_at >= seconds:
                read_at = time.monotonic()
                wanted = model_settings.read_file(settings.model_config_file)
            models.update(wanted)
            last_fault = ""
        except Exception as error:  # nothing may end the polling
            fault = f"{type(error).__name__}: {error}"
            if fault != last_fault:
                report(fault)
            last_fault = fault


def _report_ready(settings: Settings, rest_port: int, grpc_port: int) -> None:
    rest = address(settings.host, rest_port)
    names = [model.name for model in settings.models]
    if settings.page:
        report(f"the page: http://{rest}/")
    report(
        f"ready: {', '.join(names)}; REST at "
        f"http://{rest}/v1/models/{names[0]}, gRPC at "
        f"{address(settings.host, grpc_port)}"
    )
