"""The proxy of export/deploy: nginx.conf and requests.js in a real nginx."""

import contextlib
import gzip
import json
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from fake_server import FakeServer
from server_process import DEPLOY, Client, wait_for

from tests.ports import free_ports

MODULE = "ngx_http_js_module.so"
FOLDERS = ("/usr/share/nginx", "/usr/lib/nginx", "/etc/nginx")
PREDICT = "/v1/models/attngan:predict"


@contextlib.contextmanager
def proxy(folder: pathlib.Path, backend: str, **changes: str) -> Iterator[str]:
    """Runs nginx before a server; returns its URL.

    Args:
      folder: for its files.
      backend: host:port of the server.
      changes: texts of nginx.conf to replace.
    """
    modules = [pathlib.Path(x) / "modules" / MODULE for x in FOLDERS]
    module = next((path for path in modules if path.exists()), None)
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not nginx or not module:
        pytest.skip("needs nginx with the module njs")
    (port,) = free_ports(1)
    text = (DEPLOY / "nginx.conf").read_text()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    for old, new in {
        f"modules/{MODULE}": str(module),
        "127.0.0.1:8501": backend,
        "listen 8080": f"listen 127.0.0.1:{port}",
        "http {\n": f"http {{ access_log off; {temporary}\n",
        **changes,
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    shutil.copy(DEPLOY / "requests.js", folder)
    log = folder / "nginx.log"
    options = f"daemon off; pid {folder}/pid; error_log {log};"
    command = [nginx, "-p", folder, "-c", folder / "nginx.conf", "-g", options]
    with subprocess.Popen(command) as process:
        try:
            wait_for((folder / "pid").exists)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
    assert "[emerg]" not in log.read_text()


@pytest.fixture(scope="module")
def backend():
    """Answers anything with a prediction, and stores what it received."""
    with FakeServer(lambda _: (200, {"predictions": [1]})) as server:
        yield server


@pytest.fixture(scope="module")
def url(backend, tmp_path_factory):
    """The proxy's URL; the backend is behind it. The rate is not limited."""
    folder = tmp_path_factory.mktemp("proxy")
    rate = {"rate=5r/s": "rate=1000r/s"}
    with proxy(folder, backend.address, **rate) as found:
        yield found


@pytest.fixture
def send(url, backend):
    """Sends a request; returns its answer and what the backend received."""

    def run(body, path=PREDICT, verb="POST", **headers):
        backend.requests.clear()
        with Client(url) as client:
            answer = client.send(verb, path, body, **headers)
        return answer, list(backend.requests)

    return run


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ["a"]},
        {"instances": [{"captions": "\u9ce5", "seeds": -(2**53 - 1)}] * 8},
        {"signature_name": "generate", "inputs": ["a", "b"]},
        {"inputs": {"captions": ["a"], "z": [[0.25, -1.5]]}},
        {"instances": [{"captions": "a", "image_bytes": {"b64": "A" * 10**6}}]},
    ],
)
def test_requests_reach_the_server(send, body):
    path = "/v1/models/attngan_damsm/labels/stable:predict"
    answer, (received,) = send(body, path)
    assert answer.json() == {"predictions": [1]}
    assert received.path == path
    assert received.headers["Host"] == "localhost"
    assert json.loads(received.body) == body


def nested(depth: int) -> bytes:
    return b'{"inputs": ' + b"[" * depth + b"1" + b"]" * depth + b"}"


BAD_BODIES = {
    "no rows in a column": ({"inputs": []}, "inputs must be a list of 1 to 8"),
    "no rows in a named column": ({"inputs": {"captions": []}}, "received 0"),
    "no columns": ({"inputs": {}}, "by name"),
    "no rows": ({"instances": []}, "instances must be a list of 1 to 8"),
    "too many rows": ({"instances": ["a"] * 9}, "received 9"),
    "30,000 lists": (nested(30_000), ""),
    "6 lists": (nested(6), "at most 5 deep"),
    "a million lists": (b"[" * 10**6, ""),
    "no object": (["a"], "must be a JSON object"),
    "both keys": ({"inputs": ["a"], "instances": ["a"]}, "either"),
    "no JSON": (b'{"inputs": ["a"', ""),
    "text after JSON": (b'{"inputs": ["a"]} {}', ""),
    "empty": (b"", ""),
    "a large seed": ({"inputs": {"seeds": [2**53]}}, "2^53 - 1"),
    "compressed": (gzip.compress(b'{"inputs": []}'), ""),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies_do_not_reach_the_server(send, name):
    body, words = BAD_BODIES[name]
    answer, received = send(body)
    assert answer.status == 400
    assert words in answer.json()["error"]
    assert received == []


def test_the_server_reads_what_was_checked(send):
    """TensorFlow Serving takes the first of two equal keys."""
    body = b'{"inputs": [], "inputs": ["a"], "more": [[[[[[[1]]]]]]]}'
    header = {"Content-Encoding": "gzip"}
    _, (received,) = send(body, **header)
    assert json.loads(received.body) == {"inputs": ["a"]}
    assert "Content-Encoding" not in received.headers


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v1/models/attngan", 200),
        ("GET", "/v1/models/attngan_damsm/versions/1/metadata", 200),
        ("GET", PREDICT, 403),
        ("POST", "/v1/models/attngan", 403),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v1/models/attngan:classify", 404),
        (
            "POST",
            "/v1/models/attngan/versions/9999999999999999999:predict",
            404,
        ),
        ("GET", "/monitoring/prometheus/metrics", 404),
    ],
)
def test_only_known_paths_and_methods_reach_the_server(
    send, verb, path, status
):
    answer, received = send(b"{}" if verb == "POST" else None, path, verb)
    assert answer.status == status
    assert len(received) == (status == 200)


def test_large_bodies_are_refused(send):
    answer, received = send({"instances": ["a" * 3 * 2**20]})
    assert answer.status == 413
    assert received == []


def test_the_rate_of_a_client_is_limited(backend, tmp_path):
    with proxy(tmp_path, backend.address) as url, Client(url) as client:
        answers = [client.send("GET", "/v1/models/attngan") for _ in range(40)]
    codes = [answer.status for answer in answers]
    assert codes[:20] == [200] * 20
    assert 429 in codes
