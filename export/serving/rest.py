"""The REST interface, as a WSGI application."""

import json
import mimetypes
import pathlib
import re
import time
import traceback
from collections.abc import Callable

from werkzeug import Request, Response

from export.serving import codec, origins, status
from export.serving.errors import (
    HTTP_STATUS,
    Code,
    ServingError,
    invalid,
    not_found,
)
from export.serving.monitoring import Metrics
from export.serving.predictor import Predictor
from export.serving.settings import Settings

_CHOICE = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT_PATH = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_CHOICE}:(?P<method>predict|classify|regress)",
    re.IGNORECASE | re.ASCII,
)
_STATUS_PATH = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_CHOICE}(?P<metadata>/metadata)?",
    re.IGNORECASE | re.ASCII,
)
_LARGEST_VERSION = 2**63 - 1
# In a request's environment: when it had arrived, of `time.monotonic`.
ARRIVED = "attngan.arrived"
_CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


def error_body(message: str) -> bytes:
    """An error as the protocol writes it."""
    return json.dumps({"error": message}).encode()


class RestApp:
    """Answers /v1/..., the metrics' path, and the page's files."""

    def __init__(
        self, settings: Settings, predictor: Predictor, metrics: Metrics
    ):
        self._settings = settings
        self._predictor = predictor
        self._metrics = metrics

    def __call__(self, environ: dict, start_response: Callable):
        request = Request(environ)
        try:
            response = self._respond(request)
        except ServingError as error:
            response = _json(error_body(error.message), HTTP_STATUS[error.code])
        except Exception:  # a fault of ours: the client gets one line, too
            traceback.print_exc()
            response = _json(error_body("internal error"), 500)
        if self._settings.cors:
            response.headers.update(_CORS_HEADERS)
        else:
            response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        path = request.path
        if not self._settings.cors:
            origins.check(request, self._settings.host)
        if path.lower().startswith("/v1/"):
            return self._respond_to_api(request)
        if request.method in ("GET", "HEAD"):
            if path == self._settings.metrics_path:
                return Response(self._metrics.page(), mimetype="text/plain")
            if self._settings.page:
                return _page(path, self._settings.page)
        raise not_found(f"nothing is at {path}; models are under /v1/models/")

    def _respond_to_api(self, request: Request) -> Response:
        if request.method == "POST":
            found = _PREDICT_PATH.fullmatch(request.path)
            if found:
                return self._predict(request, found)
        elif request.method == "GET":
            found = _STATUS_PATH.fullmatch(request.path)
            if found:
                return self._status(found)
        elif request.method == "OPTIONS" and self._settings.cors:
            return _json(b"", 200)
        raise invalid(f"malformed request: {request.method} {request.path}")

    def _predict(self, request: Request, found: re.Match) -> Response:
        # Waiting for a thread is part of a request's time.
        arrived = request.environ.get(ARRIVED, time.monotonic())
        deadline = arrived + self._settings.timeout_seconds
        model = self._predictor.models.find(found["name"])
        with self._predictor.counted(model, "REST"):
            method = found["method"].lower()
            if method != "predict":
                raise invalid(
                    f"{model.settings.name} has no signature for {method}"
                )
            with model.use(_version(found), found["label"]) as servable:
                body = codec.parse(request.get_data())
                signature = servable.signature(
                    codec.signature_name(body), Code.INVALID_ARGUMENT
                )
                feeds, row_form = codec.decode(body, signature)
                outputs = self._predictor.run(
                    servable,
                    signature,
                    feeds,
                    list(signature.outputs),
                    deadline,
                )
            return _json(codec.encode(outputs, row_form), 200)

    def _status(self, found: re.Match) -> Response:
        model = self._predictor.models.find(found["name"])
        version = _version(found)
        if found["metadata"]:
            with model.use(version, found["label"]) as servable:
                answer = status.metadata_json(servable)
        else:
            if found["label"]:
                version = model.version_of(found["label"])
            answer = status.as_json(
                status.status_response(model.statuses(version))
            )
        return _json(json.dumps(answer, indent=1).encode(), 200)


def _version(found: re.Match) -> int | None:
    """The version that a path names, if it does."""
    if not found["version"]:
        return None
    digits = found["version"].lstrip("0") or "0"
    if len(digits) > 19 or int(digits) > _LARGEST_VERSION:
        raise invalid(f"the version {digits[:30]} is no 64-bit number")
    return int(digits)


def _json(body: bytes, http_status: int) -> Response:
    return Response(body, http_status, content_type="application/json")


def _page(path: str, folder: str) -> Response:
    """A file of the page's folder; links and .. do not lead out of it."""
    root = pathlib.Path(folder).resolve()
    try:
        file = (root / (path.strip("/") or "index.html")).resolve()
        if not file.is_relative_to(root):
            raise not_found(f"nothing is at {path}")
        content = file.read_bytes()
    except (OSError, ValueError):
        raise not_found(f"nothing is at {path}") from None
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    response = Response(content, mimetype=kind)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-cache"
    return response
