"""The protocol's odder rules as tables, for the toy model's signatures."""

import json

from contract import Case, column_pngs, columns, rows

_X = [1.0, 2.0, 4.0]


def _numbers(*values: float, expected: list[float]) -> Case:
    return Case(
        f"the floats {values}",
        200,
        rows(list(values), signature="numbers"),
        lambda body: json.loads(body)["predictions"][0]["twice"] == expected,
    )


# With batching and without it.
TOY = [
    _numbers(1, 0.3, 4e0, expected=[2.0, 0.6, 8.0]),
    _numbers(1, 2**24, 2**70, expected=[2.0, 2.0**25, 2.3611832e21]),
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
            b'{"instances": ' + b"[" * depth + leaf + b"]" * depth + b"}",
        )
        for depth in (33, 9000)
        for leaf in (b'"a"', b"1.5")
    ),
    Case("float16", 400, rows(_X, signature="float16")),
    Case("an output without rows", 400, rows(_X, signature="total")),
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
        "a scalar output by column",
        200,
        columns([_X], "total"),
        lambda body: json.loads(body) == {"outputs": 7.0},
    ),
]
# max_batch_size is 8.
BATCHED = [
    Case("a scalar input with batching", 400, _SCALAR),
    Case("an output that cannot be batched", 400, columns([_X], "total")),
    Case("as many rows as a batch", 200, {"instances": ["a"] * 8}),
    Case("more rows than a batch", 400, {"instances": ["a"] * 9}),
]
