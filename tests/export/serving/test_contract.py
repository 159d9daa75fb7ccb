"""The protocol from outside: a server in a process of its own."""

import contextlib
import gzip
import json
import socket
import struct
import time

import contract
import pytest
import toy_model
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import ROOT, under_load

PREDICT = "/v1/models/toy:predict"
SERVERS = ["plain", "batched", "real"]


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def run_case(server, case):
    with server.client() as client:
        case.run(client, server.model)


@pytest.mark.parametrize("kind", SERVERS)
@by_name([*contract.GENERATOR, *contract.TOY])
def test_contract(servers, kind, case):
    run_case(servers(kind), case)


@by_name(contract.BATCHED)
def test_contract_with_batching(servers, case):
    run_case(servers("batched"), case)


@by_name(contract.DIFFERENT)
def test_development_server_differs_on_purpose(plain, case):
    run_case(plain, case)


@by_name(contract.DIFFERENT)
def test_real_server_accepts_what_the_other_refuses(servers, case):
    server = servers("real")
    with server.client() as client:
        assert case.send(client, server.model).status == 200


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("bodies", contract.SAME)
def test_forms_of_one_request_get_one_answer(servers, kind, bodies):
    server = servers(kind)
    with server.client() as client:
        answers = [client.predict(server.model, body) for body in bodies]
    assert [answer.status for answer in answers] == [200] * len(bodies)
    assert len({answer.body for answer in answers}) == 1


def test_connection_is_kept_and_answers_have_a_length(client):
    for _ in range(3):
        answer = client.predict("toy", {"instances": ["a"]})
        assert answer.headers["Content-Type"] == "application/json"
        assert int(answer.headers["Content-Length"]) == len(answer.body)
        assert "Connection" not in answer.headers


def test_other_origins_are_allowed_only_with_the_flag(servers, client):
    asked = {"Origin": "null", "Access-Control-Request-Method": "POST"}
    with servers("batched").client() as other:
        allowed = other.send("OPTIONS", PREDICT, **asked)
        error = other.send("POST", PREDICT, b"", Host="a.example", **asked)
    assert allowed.status == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Type" in allowed.headers["Access-Control-Allow-Headers"]
    assert error.status == 400
    assert error.headers["Access-Control-Allow-Origin"] == "*"
    refused = client.send("OPTIONS", PREDICT, **asked)
    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers
    # <img> and <script> send no Origin.
    policy = refused.headers["Cross-Origin-Resource-Policy"]
    assert policy == "same-origin"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8501", 200),
        ("127.8.0.1", 200),
        ("[::1]:8501", 200),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:8501", 403),
        ("localhost@evil.example", 403),
        ("10.0.0.1", 403),
    ],
)
def test_local_server_answers_to_local_names_only(client, host, status):
    assert client.send("GET", "/", Host=host).status == status
    origin = f"http://{host}"
    assert client.send("GET", "/", Host=host, Origin=origin).status == status


def test_too_large_body_is_refused(plain, client):
    caption = "a" * 1_900_000
    assert client.predict("toy", {"instances": [caption]}).status == 200
    announced = {"Content-Length": "2000001"}
    with plain.client() as other:
        assert other.send("POST", PREDICT, b"", **announced).status == 413
    packed = gzip.compress(b" " * 2_000_001)
    header = {"Content-Encoding": "gzip"}
    answer = client.send("POST", PREDICT, packed, **header)
    assert answer.status == 400
    assert "at most --max_request_bytes = 2000000" in answer.json()["error"]


def test_metrics_count_requests(client):
    def counts():
        path = "/monitoring/prometheus/metrics"
        text = client.send("GET", path).body.decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines())
        return {name: float(value) for name, value in lines}

    client.predict("toy", {"instances": ["a"]})
    client.predict("toy", {"instances": [1]})
    before = counts()
    client.predict("toy", {"instances": ["a"]})
    client.predict("toy", {"instances": [1]})
    grown = {k: n - before[k] for k, n in counts().items() if n > before[k]}
    prefix = ":tensorflow:serving:request_"
    labels = '{model_name="toy",API="predict",entrypoint="REST"}'
    assert grown.pop(f"{prefix}latency_sum{labels}") > 0
    assert grown == {
        f'{prefix}count{{model_name="toy",status="OK"}}': 1,
        f'{prefix}count{{model_name="toy",status="INVALID_ARGUMENT"}}': 1,
        f"{prefix}latency_count{labels}": 2,
    }


def test_page_is_served_only_with_the_flag(servers, client):
    index = client.send("GET", "/")
    assert index.status == 200
    assert index.headers["Content-Type"] == "text/html"
    assert index.body == (ROOT / "export/page/index.html").read_bytes()
    script = client.send("GET", "/page.js?fresh")
    assert script.headers["Content-Type"] == "text/javascript"
    head = client.send("HEAD", "/page.js")
    assert head.headers["Content-Length"] == str(len(script.body))
    for path in ("/nope", "/../serve.py", "//etc/passwd", "/%2e%2e/serve.py"):
        assert client.send("GET", path).status == 404
    assert client.send("POST", "/page.js").status == 404
    with servers("batched").client() as other:
        assert other.send("GET", "/").status == 404


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["b64", "captions", "seeds", "x"]), inner
        )
    ),
    max_leaves=12,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(toy_model.SIGNATURES[:-1]) | JSON,
        "instances": JSON | st.lists(JSON, max_size=3),
        "inputs": JSON,
    },
)


@pytest.mark.parametrize("kind", ["plain", "batched"])
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=64) | BODIES.map(json.dumps).map(str.encode))
def test_no_body_breaks_the_server(servers, kind, body):
    with servers(kind).client() as client:
        answer = client.predict("toy", body)
        assert answer.status in (200, 400), (answer.status, answer.body)
        if answer.status == 400:
            contract.assert_error(answer)
        assert client.predict("toy", {"instances": ["a"]}).status == 200


def connect(address: str) -> socket.socket:
    return socket.create_connection(address.split(":"), timeout=20)


def test_connection_without_traffic_is_closed(plain):
    """After --rest_api_timeout_in_ms, here 2 s."""
    with connect(plain.url.removeprefix("http://")) as connection:
        connection.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\n")
        begin = time.monotonic()
        assert connection.recv(1) == b""
    assert 1 < time.monotonic() - begin < 10


REQUEST = (
    b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\n"
    b'Content-Length: 50019\r\n\r\n{"instances": ["%s"]}' % (b"a" * 50_000)
)


def test_clients_that_leave_or_send_garbage_harm_no_others(servers):
    server = servers("batched")
    reset = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST
    with under_load(server) as (failures, answers):
        for number in range(200):
            rest, grpc = server.url.removeprefix("http://"), server.grpc
            content = REQUEST[: [20, 20_000, len(REQUEST)][number % 3]]
            for address, sent in ((rest, content), (grpc, b"\xff" * 5000)):
                with (
                    contextlib.suppress(ConnectionError),
                    connect(address) as link,
                ):
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                    link.sendall(sent)
    assert len(answers) == 1
    assert not failures
    assert "Traceback" not in server.log.read_text()
