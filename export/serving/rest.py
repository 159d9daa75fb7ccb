"""The REST interface and the demo page, as a WSGI application."""

import http.client
import json
import mimetypes
import pathlib
import re
import time
import traceback
import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import tensorflow as tf

from export.serving import codec, status
from export.serving.errors import ServingError, invalid, not_found, shown
from export.serving.predictor import Predictor
from export.serving.settings import Settings

# As the real server matches them: on the path as it was sent, with its query.
_MODEL = (
    r"(?i:/v1/models/)(?P<name>[^/:]+)"
    r"(?i:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
_PREDICT_PATH = re.compile(_MODEL + ":(?P<method>predict|classify|regress)")
_STATUS_PATH = re.compile(_MODEL + "(?P<metadata>/metadata)?")
_LOCAL_NAME = re.compile(
    r"(localhost|127(\.\d{1,3}){3}|\[?::1\]?)(:\d+)?", re.IGNORECASE | re.ASCII
)
_MAX_VERSION = 2**63 - 1
_GZIP = 16 + zlib.MAX_WBITS
_PAGE = pathlib.Path(__file__).parents[1] / "page"
_CORS_HEADERS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
]


class _Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str = "application/json"


def _error(http_status: int, message: str) -> _Answer:
    return _Answer(http_status, json.dumps({"error": message}).encode())


class RestApp:
    """Answers /v1/..., the path of the metrics, and the page's files."""

    def __init__(self, settings: Settings, predictor: Predictor):
        self._settings = settings
        self._predictor = predictor
        self._cors = settings.rest_api_enable_cors_support
        self._page = {"/": _PAGE / "index.html"}
        self._page |= {f"/{file.name}": file for file in _PAGE.iterdir()}

    def __call__(
        self, environ: dict, start_response: Callable
    ) -> Iterable[bytes]:
        try:
            answer = self._respond(environ)
        except ServingError as error:
            answer = _error(error.http_status, error.message)
        except Exception:  # a bug: the client gets one line, too
            traceback.print_exc()
            answer = _error(500, "internal error")
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-cache"),
        ]
        same_origin = [("Cross-Origin-Resource-Policy", "same-origin")]
        headers += _CORS_HEADERS if self._cors else same_origin
        reason = http.client.responses.get(answer.status, "Error")
        start_response(f"{answer.status} {reason}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _respond(self, environ: dict) -> _Answer:
        verb, path = environ["REQUEST_METHOD"], environ["REQUEST_URI"]
        if not self._cors:
            _check_origin(environ, self._settings.host)
        if path.lower().startswith("/v1/"):
            return self._respond_to_api(environ, verb, path)
        path = path.partition("?")[0]
        if verb in ("GET", "HEAD"):
            if path == self._settings.metrics_path:
                text = self._predictor.metrics().encode()
                return _Answer(200, text, "text/plain; charset=utf-8")
            if self._settings.page and path in self._page:
                file = self._page[path]
                kind = mimetypes.guess_type(file.name)[0]
                return _Answer(200, file.read_bytes(), kind)
        raise not_found(f"nothing is at {path}; models are under /v1/models/")

    def _respond_to_api(self, environ: dict, verb: str, path: str) -> _Answer:
        if verb == "OPTIONS" and self._cors:
            return _Answer(200, b"")
        pattern = {"POST": _PREDICT_PATH, "GET": _STATUS_PATH}.get(verb)
        found = pattern and pattern.fullmatch(path)
        if not found:
            raise invalid(f"malformed request: {verb} {path}")
        version = int(found["version"]) if found["version"] else None
        if version is not None and version > _MAX_VERSION:
            return _Answer(400, b"")
        if verb == "GET":
            return self._status(found, version)
        return self._predict(environ, found, version)

    def _predict(
        self, environ: dict, found: re.Match, version: int | None
    ) -> _Answer:
        seconds = self._settings.rest_api_timeout_in_ms / 1000
        deadline = time.monotonic() + seconds
        model = self._predictor.models.find(found["name"])
        with self._predictor.counted(model, "REST"):
            if found["method"] != "predict":
                raise invalid(f"no signature supports {found['method']}")
            body = _body(environ, self._settings.max_request_bytes)
            document = codec.parse(body)
            name = document.get("signature_name", "")
            if not isinstance(name, str):
                raise invalid(
                    f"signature_name must be a string; received {shown(name)}"
                )
            with model.use(version, found["label"]) as servable:
                signature = servable.signature(name, tf.errors.INVALID_ARGUMENT)
                feeds, row_form = codec.decode(document, signature)
                names = list(signature.outputs)
                outputs = self._predictor.run(
                    servable, signature, feeds, names, deadline
                )
            return _Answer(200, codec.encode(outputs, row_form))

    def _status(self, found: re.Match, version: int | None) -> _Answer:
        model = self._predictor.models.find(found["name"])
        if found["metadata"]:
            with model.use(version, found["label"]) as servable:
                answer = status.metadata_json(servable)
        else:  # labels choose nothing here, as in the real server
            states = model.statuses(version)
            answer = {"model_version_status": list(map(status.as_json, states))}
        return _Answer(200, json.dumps(answer, indent=1).encode())


def _body(environ: dict, max_bytes: int) -> bytes:
    """A request's body, decompressed if it is gzip."""
    body = environ["wsgi.input"].read()
    if environ.get("HTTP_CONTENT_ENCODING", "").lower() != "gzip":
        return body
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(body, max_bytes)
    except zlib.error as error:
        raise invalid(f"the body must be gzip: {error}") from None
    if not unpacker.eof:
        raise invalid(
            "the gzip body must be complete and hold at most "
            f"--max_request_bytes = {max_bytes} bytes"
        )
    return body


def _check_origin(environ: dict, listens_at: str) -> None:
    """Refuses, with 403, requests of pages of other origins.

    On the loopback interface it also refuses other host names: a page whose
    host name resolves to 127.0.0.1 (DNS rebinding) would have its origin.
    """
    host = environ.get("HTTP_HOST", "")
    origin = environ.get("HTTP_ORIGIN")
    local = _LOCAL_NAME.fullmatch
    if host and local(listens_at) and not local(host):
        fault = f"the Host must be a name of this machine; received {host!r}"
    elif origin is not None and origin.partition("://")[2] != host:
        fault = f"pages of {origin!r} need --rest_api_enable_cors_support"
    else:
        return
    raise ServingError(tf.errors.PERMISSION_DENIED, fault)
