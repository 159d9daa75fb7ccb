"""The protocol from outside: a server in a process of its own."""

import contextlib
import gzip
import http.client
import json
import socket
import time

import contract
import contract_toy
import pytest
import toy_model
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import ROOT

SERVERS = ["plain", "batched", "real"]


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def run_case(server, case, **arguments):
    with contextlib.closing(server.client()) as client:
        case.run(client, server.model, **arguments)


@pytest.mark.parametrize("kind", SERVERS)
@by_name([*contract.GENERATOR, *contract_toy.TOY])
def test_contract(servers, kind, case):
    run_case(servers(kind), case)


@pytest.mark.parametrize("kind", ["plain", "real"])
@by_name(contract_toy.UNBATCHED)
def test_contract_without_batching(servers, kind, case):
    run_case(servers(kind), case)


@by_name(contract_toy.BATCHED)
def test_contract_with_batching(servers, case):
    run_case(servers("batched"), case)


@pytest.mark.parametrize("kind", ["plain", "real"])
@by_name(contract.DIFFERENT)
def test_servers_differ_on_purpose(servers, kind, case):
    run_case(servers(kind), case, real=kind == "real")


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("bodies", contract.SAME)
def test_forms_of_one_request_get_one_answer(servers, kind, bodies):
    server = servers(kind)
    with contextlib.closing(server.client()) as client:
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
    path = "/v1/models/toy:predict"
    with contextlib.closing(servers("batched").client()) as other:
        allowed = other.send("OPTIONS", path, **asked)
        error = other.send("POST", path, b"", Host="a.example", **asked)
    assert allowed.status == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Type" in allowed.headers["Access-Control-Allow-Headers"]
    assert error.status == 400
    assert error.headers["Access-Control-Allow-Origin"] == "*"
    refused = client.send("OPTIONS", path, **asked)
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
    path = "/v1/models/toy:predict"
    with contextlib.closing(plain.client()) as other:
        assert other.send("POST", path, b"", **announced).status == 413
    packed = gzip.compress(b" " * 2_000_001)
    answer = client.send("POST", path, packed, **{"Content-Encoding": "gzip"})
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
    with contextlib.closing(servers("batched").client()) as other:
        assert other.send("GET", "/").status == 404


# Request bodies: any bytes, any JSON, and good bodies with something changed.
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
)
JSON = st.recursive(
    LEAVES,
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
GOOD = json.dumps(contract.rows({"captions": "a", "seeds": 1})).encode()


@st.composite
def mutated(draw):
    position = draw(st.integers(0, len(GOOD)))
    length = draw(st.integers(0, 3))
    middle = draw(st.binary(max_size=3))
    return GOOD[:position] + middle + GOOD[position + length :]


@pytest.mark.parametrize("kind", ["plain", "batched"])
@settings(max_examples=100, deadline=None)
@given(
    body=st.binary(max_size=64)
    | BODIES.map(json.dumps).map(str.encode)
    | mutated()
)
def test_no_body_breaks_the_server(servers, kind, body):
    with contextlib.closing(servers(kind).client()) as client:
        answer = client.predict("toy", body)
        assert answer.status in (200, 400), (answer.status, answer.body)
        if answer.status == 400:
            contract.assert_error(answer)
        assert client.predict("toy", {"instances": ["a"]}).status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /%00%ff HTTP/1.1\r\n\r\n",
        b"GET /v1/models/%2e%2e/%00 HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_http_is_a_400_or_404(plain, client, head):
    connection = http.client.HTTPConnection(plain.url.removeprefix("http://"))
    with contextlib.closing(connection):
        connection.connect()
        connection.sock.sendall(head)
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        assert response.status in (400, 404)
    assert client.predict("toy", {"instances": ["a"]}).status == 200


def test_connection_without_traffic_is_closed(plain):
    """After --rest_api_timeout_in_ms, here 2 s."""
    where = plain.url.removeprefix("http://").split(":")
    with socket.create_connection(where, timeout=20) as connection:
        connection.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\n")
        begin = time.monotonic()
        assert connection.recv(1) == b""
    assert 1 < time.monotonic() - begin < 10


def test_batched_answers_equal_single_ones(servers, plain, pool):
    bodies = [
        contract.rows(
            *({"captions": f"{k} {r}", "seeds": k} for r in range(1 + k % 3))
        )
        for k in range(24)
    ]

    def answers(server):
        def one(body):
            with contextlib.closing(server.client()) as client:
                return client.predict("toy", body).json()

        return list(pool.map(one, bodies))

    expected = answers(plain)
    assert all("predictions" in answer for answer in expected)
    assert answers(servers("batched")) == expected
