"""The protocol's odder rules as tables, for the toy model's signatures."""

import json

from contract import Case, column_pngs, columns, rows


def _not_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return b'"a\xff"' in body
    return False


_X = [1.0, 2.0, 4.0]

# With batching and without it.
TOY = [
    Case(
        "floats by row",
        200,
        rows([1, 0.3, 4e0], signature="numbers"),
        lambda body: (
            json.loads(body)["predictions"]
            == [{"inverse": [1.0, 3.3333333, 0.25], "twice": [2.0, 0.6, 8.0]}]
        ),
    ),
    Case(
        "floats that are none",
        200,
        b'{"signature_name": "numbers", "instances": [[0, NaN, -Infinity]]}',
        lambda body: b"Infinity" in body and b"NaN" in body,
    ),
    Case(
        "an integer without an exact float",
        400,
        rows([1, 2, 2**24], signature="numbers"),
    ),
    Case(
        "a number too large for a float",
        400,
        rows([1, 2, 1e39], signature="numbers"),
    ),
    Case(
        "a number too large for a double",
        400,
        b'{"signature_name": "numbers", "instances": [[1, 2, 1e999]]}',
    ),
    Case("a wrong shape", 400, rows([1, 2], signature="numbers")),
    *(
        Case(
            f"lists {depth} deep",
            400,
            b'{"instances": ' + b"[" * depth + leaf + b"]" * depth + b"}",
        )
        for depth in (33, 65, 900)
        for leaf in (b'"a"', b"1.5")
    ),
    Case(
        "a string not named _bytes",
        200,
        rows("a", signature="text"),
        _not_utf8,
    ),
    Case("bfloat16", 400, rows(_X, signature="bfloat16")),
    Case("float16", 400, rows(_X, signature="float16")),
    Case("no row an output", 400, rows(_X, signature="total")),
    Case(
        "a scalar input by row",
        400,
        rows({"captions": "a", "seed": 1}, signature="scalar_seed"),
    ),
    Case(
        "a row the model refuses",
        400,
        rows("good", "bad!", signature="picky"),
        lambda body: b"no ! please" in body,
    ),
    Case("a time-out", 504, rows(30, signature="slow")),
]

_SCALAR = columns({"captions": ["a"], "seed": 1}, "scalar_seed")
UNBATCHED = [
    Case("a scalar input by column", 200, _SCALAR, column_pngs(1)),
    Case(
        "an output without rows",
        200,
        columns([_X], "total"),
        lambda body: json.loads(body) == {"outputs": 7.0},
    ),
]
# max_batch_size is 8.
BATCHED = [
    Case("a scalar input with batching", 400, _SCALAR),
    Case("an unbatched output", 400, columns([_X], "total")),
    Case("as many rows as a batch", 200, {"instances": ["a"] * 8}),
    Case("more rows than a batch", 400, {"instances": ["a"] * 9}),
]
