"""The protocol as a table: what is sent, and what must come back.

GENERATOR and SAME hold for every model with the generator's signatures, and
for tensorflow_model_server as for the development server; DIFFERENT lists
where the two differ on purpose (export/deploy/README.md says why).
"""

import base64
import dataclasses
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

from server_process import Answer, Client

PNG = b"\x89PNG\r\n\x1a\n"
_MODEL = "/v1/models/{model}"


@dataclasses.dataclass(frozen=True)
class Case:
    """A request and its answer; a body that is not bytes is sent as JSON."""

    name: str
    status: int
    body: Any = None
    check: Callable[[bytes], bool] | None = None
    path: str = _MODEL + ":predict"
    verb: str = "POST"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def send(self, client: Client, model: str) -> Answer:
        path = self.path.format(model=model)
        return client.send(self.verb, path, self.body, **self.headers)

    def run(self, client: Client, model: str) -> None:
        """Sends it and asserts what the table says."""
        answer = self.send(client, model)
        assert answer.status == self.status, answer.body[:300]
        if self.check:
            assert self.check(answer.body), answer.body[:300]
        elif self.status >= 400 and self.path.lower().startswith("/v1/"):
            assert_error(answer)


def assert_error(answer: Answer) -> None:
    """Errors are {"error": "what was wrong"}."""
    error = answer.json()
    assert list(error) == ["error"]
    assert error["error"]
    assert "Traceback" not in error["error"]


def row_pngs(count: int) -> Callable[[bytes], bool]:
    """Whether a row answer is so many images, without the output's name."""
    return lambda body: _are_pngs(json.loads(body)["predictions"], count)


def column_pngs(count: int) -> Callable[[bytes], bool]:
    """Whether a columnar answer is so many images."""
    return lambda body: _are_pngs(json.loads(body)["outputs"], count)


def _are_pngs(values: list, count: int) -> bool:
    return len(values) == count and all(
        list(value) == ["b64"]
        and base64.b64decode(value["b64"], validate=True).startswith(PNG)
        for value in values
    )


def b64(text: bytes) -> dict[str, str]:
    """Bytes as the protocol writes them."""
    return {"b64": base64.b64encode(text).decode()}


def rows(*values: Any, signature: str = "generate_png") -> dict:
    """A body in row form."""
    return {"signature_name": signature, "instances": list(values)}


def columns(value: Any, signature: str = "generate_png") -> dict:
    """A body in columnar form."""
    return {"signature_name": signature, "inputs": value}


def _seed(seed: Any) -> dict:
    return rows({"captions": "a", "seeds": seed})


_A = {"instances": ["a"]}
# The bodies of one list get one and the same answer.
SAME = [
    [
        {"instances": ["a red bird"]},
        {"instances": [{"captions": "a red bird"}]},
        {"instances": [b64(b"a red bird")]},
        {"instances": [{"captions": b64(b"a red bird")}]},
        {"instances": [{"b64": "YSByZWQgYmlyZA"}]},
        rows("a red bird", signature="serving_default"),
        rows("a red bird", signature=""),
        b'\xef\xbb\xbf {"instances": ["a red \\u0062ird"]}\r\n',
        b'{"instances": ["a red bird"], "instances": ["a blue one"]}',
        b'{"instances": [{"captions": "a red bird", "captions": "no"}]}',
    ],
    [
        {"inputs": ["a", "b"]},
        {"inputs": {"captions": ["a", "b"]}},
        {"inputs": [b64(b"a"), "b"]},
    ],
    [
        b'{"instances": ["caf\xe9"]}',  # not UTF-8: passed on as it is
        {"instances": [b64(b"caf\xe9")]},
    ],
    [
        columns({"captions": ["a"], "seeds": [5]}),
        # Keys that are no inputs are ignored in this form.
        columns({"captions": ["a"], "seeds": [5], "z": 1}),
    ],
]

_GZIP = {"Content-Encoding": "gzip"}
_GOOD = [
    Case("one row", 200, _A, row_pngs(1)),
    Case("a column", 200, {"inputs": ["a", "b"]}, column_pngs(2)),
    Case(
        "two inputs by row",
        200,
        rows({"captions": "a", "seeds": 1}, {"seeds": 2**53, "captions": ""}),
        row_pngs(2),
    ),
    Case(
        "two inputs by column",
        200,
        columns({"captions": ["a", "b"], "seeds": [-1, 2]}),
        column_pngs(2),
    ),
    Case("a version", 200, _A, row_pngs(1), _MODEL + "/versions/1:predict"),
    Case("capitals", 200, _A, row_pngs(1), "/V1/MODELS/{model}:predict"),
    Case("an empty caption", 200, {"instances": [""]}, row_pngs(1)),
    Case("bytes that are no text", 200, {"instances": [b64(b"\0\xff")]}),
    Case("other keys", 200, {"instances": ["a"], "other": 1}),
    Case(
        "a gzip body",
        200,
        gzip.compress(json.dumps(_A).encode()),
        row_pngs(1),
        headers=_GZIP,
    ),
    Case(
        "numbers that are an image",
        200,
        rows({"captions": "a", "seeds": 1}, signature="generate"),
        lambda body: len(json.loads(body)["predictions"][0][0][0]) == 3,
    ),
]

_BAD_ROWS = [
    Case("several inputs in a plain list", 400, rows("a")),
    Case("a row lacks a key", 400, rows({"captions": "a"})),
    Case("an unknown key", 400, rows({"captions": "a", "seeds": 1, "z": 1})),
    Case("rows of two kinds", 400, {"instances": ["a", {"captions": "b"}]}),
    Case("a column is missing", 400, columns({"captions": ["a"]})),
    Case(
        "unequal first dimensions",
        400,
        columns({"captions": ["a", "b"], "seeds": [1, 2, 3]}),
    ),
    Case("a fraction for an integer", 400, _seed(1.5)),
    Case("1.0 for an integer", 400, _seed(1.0)),
    Case("text for an integer", 400, _seed("1")),
    Case("true for an integer", 400, _seed(True)),
    Case("null for an integer", 400, _seed(None)),
    Case("an integer of 65 bits", 400, _seed(2**63)),
    Case("null for a string", 400, {"instances": [None]}),
    Case("a number for a string", 400, {"instances": [1]}),
    *(
        Case(f"{text!r} as base64", 400, {"instances": [{"b64": text}]})
        for text in ("!!!!", "YQ=", 1)
    ),
    Case("ragged lists", 400, {"instances": [["a"], ["b", "c"]]}),
]

_BAD_BODIES = [
    Case("no rows", 400, {"instances": []}),
    Case("rows that are no list", 400, {"instances": "a"}),
    Case("both keys", 400, {"instances": ["a"], "inputs": ["a"]}),
    Case("neither key", 400, {}),
    Case("a list", 400, ["a"]),
    Case("bad JSON", 400, b'{"instances": ["a"'),
    Case("5,000 digits", 400, b'{"instances": [%s]}' % (b"1" * 5000)),
    Case("half a surrogate pair", 400, b'{"instances": ["\\ud83d"]}'),
    Case("an empty body", 400, b""),
    Case("a body that is not gzip", 400, _A, headers=_GZIP),
    Case("an unknown signature", 400, rows("a", signature="nope")),
    Case("a number as signature", 400, {"signature_name": 1} | _A),
]

_PATHS = [
    Case("an unknown model", 404, _A, path="/v1/models/nope:predict"),
    Case("an unknown version", 404, _A, path=_MODEL + "/versions/9:predict"),
    Case(
        "a version beyond 64 bits",
        400,
        _A,
        lambda body: body == b"",
        path=_MODEL + f"/versions/{2**63}:predict",
    ),
    Case("an unknown label", 400, _A, path=_MODEL + "/labels/x:predict"),
    Case("GET to predict", 400, verb="GET"),
    Case("DELETE", 400, path=_MODEL, verb="DELETE"),
    Case("POST to the status", 400, _A, path=_MODEL),
    Case("an unknown method", 400, _A, path=_MODEL + ":draw"),
    Case("classify", 400, {"examples": [{}]}, path=_MODEL + ":classify"),
    Case("a path outside of /v1/", 404, verb="GET", path="/nope"),
    Case("no model's name", 400, verb="GET", path="/v1/models"),
]


def _available(body: bytes) -> bool:
    entry = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return entry in json.loads(body)["model_version_status"]


def _has_signatures(body: bytes) -> bool:
    metadata = json.loads(body)
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    inputs = signatures["generate_png"]["inputs"]
    return (
        metadata["model_spec"]["version"] == "1"
        and inputs["seeds"]["dtype"] == "DT_INT64"
        and inputs["captions"]["tensor_shape"]["dim"][0]["size"] == "-1"
        and signatures["generate_png"]["method_name"]
        == "tensorflow/serving/predict"
    )


def _get(name: str, status: int, path: str, check=None) -> Case:
    return Case(name, status, None, check, path, "GET")


_GET = [
    _get("the status", 200, _MODEL, _available),
    _get("a version's", 200, _MODEL + "/versions/1", _available),
    _get("an unknown label's", 200, _MODEL + "/labels/x", _available),
    _get("an unknown version's", 404, _MODEL + "/versions/9"),
    _get("an unknown model's", 404, "/v1/models/nope"),
    _get("the metadata", 200, _MODEL + "/metadata", _has_signatures),
    _get(
        "a version's metadata",
        200,
        _MODEL + "/versions/1/metadata",
        _has_signatures,
    ),
    _get("an unknown model's metadata", 404, "/v1/models/nope/metadata"),
]

GENERATOR = [*_GOOD, *_BAD_ROWS, *_BAD_BODIES, *_PATHS, *_GET]

_X = [1.0, 2.0, 4.0]


def _numbers(*values: float, twice: list[float]) -> Case:
    return Case(
        f"the floats {values}",
        200,
        rows(list(values), signature="numbers"),
        lambda body: json.loads(body)["predictions"][0]["twice"] == twice,
    )


# For the toy model's signatures.
TOY = [
    _numbers(1, 0.3, 4e0, twice=[2.0, 0.6, 8.0]),
    _numbers(1, 2**24, 2**70, twice=[2.0, 2.0**25, 2.3611832e21]),
    Case(
        "several outputs",
        200,
        rows(_X, signature="numbers"),
        lambda body: (
            json.loads(body)["predictions"]
            == [{"inverse": [1.0, 0.5, 0.25], "twice": [2.0, 4.0, 8.0]}]
        ),
    ),
    Case(
        "floats that are not finite",
        200,
        b'{"signature_name": "numbers", "instances": [[0, NaN, 1e39]]}',
        lambda body: b"Infinity" in body and b"NaN" in body,
    ),
    Case(
        "a number too large for a double",
        400,
        b'{"signature_name": "numbers", "instances": [[1, 2, 1e999]]}',
    ),
    Case("text among floats", 400, rows([1, 2, "3"], signature="numbers")),
    Case("a wrong shape", 400, rows([1, 2], signature="numbers")),
    *(
        Case(
            f"lists {depth} deep",
            400,
            b'{"instances": ' + b"[" * depth + b'"a"' + b"]" * depth + b"}",
        )
        for depth in (33, 9000)
    ),
    Case(
        "a row the model refuses",
        400,
        rows("good", "bad!", signature="picky"),
        lambda body: b"no ! please" in body,
    ),
    Case("a time-out", 504, rows(30, signature="slow")),
]
# max_batch_size is 8.
BATCHED = [
    Case("as many rows as a batch", 200, {"instances": ["a"] * 8}),
    Case("more rows than a batch", 400, {"instances": ["a"] * 9}),
]
# TensorFlow Serving answers each of them with 200.
DIFFERENT = [
    Case("a column of no rows", 400, {"inputs": []}),
    Case(
        "one row for two",
        400,
        columns({"captions": ["a"], "seeds": [1, 2]}),
        lambda body: b"equally many rows" in body,  # the model refuses it, too
    ),
    Case("65 rows", 400, {"instances": ["a"] * 65}),
    Case("a foreign host", 403, _A, headers={"Host": "b.example"}),
    Case("a foreign page", 403, _A, headers={"Origin": "http://b.example"}),
    Case("text after the JSON", 400, b'{"instances": ["a"]} {}'),
]
