"""The protocol from outside: a server in a process of its own."""

import concurrent.futures
import contextlib
import http.client
import json

import contract
import contract_toy
import pytest
import toy_model
from hypothesis import given, settings
from hypothesis import strategies as st

SERVERS = ["plain", "batched", "real"]


def run_case(server, case):
    with contextlib.closing(server.client()) as client:
        case.run(client, server.model)


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@pytest.mark.parametrize("kind", SERVERS)
@by_name([*contract.GENERATOR, *contract_toy.TOY])
def test_the_contract(servers, kind, case):
    run_case(servers(kind), case)


@pytest.mark.parametrize("kind", ["plain", "real"])
@by_name(contract_toy.UNBATCHED)
def test_the_contract_without_batching(servers, kind, case):
    run_case(servers(kind), case)


@by_name(contract_toy.BATCHED)
def test_the_contract_with_batching(servers, case):
    run_case(servers("batched"), case)


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("bodies", contract.SAME)
def test_different_forms_of_one_request(servers, kind, bodies):
    server = servers(kind)
    with contextlib.closing(server.client()) as client:
        answers = [client.predict(server.model, body) for body in bodies]
    assert [answer.status for answer in answers] == [200] * len(bodies)
    assert len({answer.body for answer in answers}) == 1


def test_a_connection_is_kept_and_answers_have_a_length(client):
    for _ in range(3):
        answer = client.predict("toy", {"instances": ["a"]})
        assert answer.headers["Content-Type"] == "application/json"
        assert int(answer.headers["Content-Length"]) == len(answer.body)
        assert "Connection" not in answer.headers


def test_other_origins_are_let_in_where_asked(servers, client):
    asked = {"Origin": "null", "Access-Control-Request-Method": "POST"}
    path = "/v1/models/toy:predict"
    allowed = client.send("OPTIONS", path, **asked)
    assert allowed.status == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Type" in allowed.headers["Access-Control-Allow-Headers"]
    error = client.send("POST", path, b"")
    assert error.status == 400
    assert error.headers["Access-Control-Allow-Origin"] == "*"
    with contextlib.closing(servers("batched").client()) as other:
        refused = other.send("OPTIONS", path, **asked)
    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_a_body_too_large_is_refused(plain, client):
    caption = "a" * 1_900_000
    assert client.predict("toy", {"instances": [caption]}).status == 200
    with contextlib.closing(plain.client()) as other:
        answer = other.predict("toy", {"instances": ["a" * 2_000_000]})
    assert answer.status == 413
    contract.assert_error(answer)


def test_too_many_rows_are_refused(plain, client):
    assert client.predict("toy", {"instances": ["a"] * 64}).status == 200
    answer = client.predict("toy", {"instances": ["a"] * 65})
    assert answer.status == 400
    assert "--max_rows = 64 rows; received 65" in answer.json()["error"]


def test_the_metrics_count_requests(client):
    def count(text, status):
        name = ":tensorflow:serving:request_count"
        start = f'{name}{{model_name="toy",status="{status}"}} '
        lines = [x for x in text.splitlines() if x.startswith(start)]
        return int(lines[0].removeprefix(start)) if lines else 0

    def page():
        path = "/monitoring/prometheus/metrics"
        return client.send("GET", path).body.decode()

    before = page()
    client.predict("toy", {"instances": ["a"]})
    client.predict("toy", {"instances": [1]})
    after = page()
    for status in ("OK", "INVALID_ARGUMENT"):
        assert count(after, status) == count(before, status) + 1
    assert ':request_latency_bucket{model_name="toy",API="predict"' in after


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
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%00%ff HTTP/1.1\r\n\r\n",
        b"GET /v1/models/%2e%2e/%00 HTTP/1.1\r\n\r\n",
    ],
)
def test_bad_http_is_a_400_or_404(plain, client, head):
    connection = http.client.HTTPConnection(plain.url.removeprefix("http://"))
    with contextlib.closing(connection):
        connection.connect()
        connection.sock.sendall(head)
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        assert response.status in (400, 404)
        assert "error" in json.loads(response.read())
    assert client.predict("toy", {"instances": ["a"]}).status == 200


def test_batched_answers_equal_single_ones(servers, plain):
    bodies = [
        contract.rows(
            *({"captions": f"{k} {r}", "seeds": k} for r in range(1 + k % 3))
        )
        for k in range(24)
    ]

    def ask(server):
        def one(body):
            with contextlib.closing(server.client()) as client:
                return client.predict("toy", body).json()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(one, bodies))

    expected = ask(plain)
    assert all("predictions" in answer for answer in expected)
    assert ask(servers("batched")) == expected
