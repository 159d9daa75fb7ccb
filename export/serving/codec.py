"""Converts the JSON of the REST interface to arrays, and arrays to JSON.

It accepts and rejects what TensorFlow Serving's json_tensor.cc does, except
where export/deploy/README.md lists a difference.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from export.serving.errors import invalid, shown
from export.serving.servable import Arrays, Signature

_MAX_DEPTH = 32  # dimensions of an input
_WHITESPACE = str.maketrans("", "", " \t\r\n\v\f")


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body; the first of equal keys counts.

    Bytes that are not UTF-8 become surrogates; `decode` turns them back.

    Raises:
      ServingError: it is not JSON, or not an object.
    """
    text = body.decode(errors="surrogateescape").removeprefix("\ufeff")
    try:
        document = json.loads(
            text,
            parse_float=_finite,
            object_pairs_hook=lambda pairs: dict(reversed(pairs)),
        )
    except RecursionError:
        raise invalid("the body's JSON is nested too deeply") from None
    except ValueError as error:
        raise invalid(f"the body must be JSON: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"the body must be an object; received {shown(document)}")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:20]} does not fit a double")
    return number


def decode(
    document: dict[str, Any], signature: Signature
) -> tuple[Arrays, bool]:
    """A request's inputs.

    Returns:
      Arrays by input name, and whether the request came in row form.

    Raises:
      ServingError: it does not fit the signature.
    """
    row_form = "instances" in document
    if row_form == ("inputs" in document):
        raise invalid(
            "the body must hold either instances or inputs; received "
            f"{', '.join(map(shown, document)) or 'no keys'}"
        )
    columns = (
        _columns_of_rows(document["instances"], signature.inputs)
        if row_form
        else _columns(document["inputs"], signature.inputs)
    )
    feeds = {}
    for name, tensor in signature.inputs.items():
        dtype = np.dtype(tensor.dtype.as_numpy_dtype)  # strings: object
        try:
            feeds[name] = _to_array(columns[name], dtype)
        except (OverflowError, TypeError, ValueError) as error:
            raise invalid(f"input {name}: {error}") from None
    return feeds, row_form


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _columns_of_rows(rows: Any, inputs: Mapping[str, Any]) -> dict[str, list]:
    if not isinstance(rows, list) or not rows:
        raise invalid(
            f"instances must be a list of rows; received {shown(rows)}"
        )
    named = [isinstance(row, dict) and not _is_b64(row) for row in rows]
    if not any(named) and len(inputs) == 1:
        return dict.fromkeys(inputs, rows)
    for number, row in enumerate(rows):
        if not named[number] or row.keys() != inputs.keys():
            raise invalid(
                f"row {number} must be an object with exactly the keys "
                f"{', '.join(inputs)}; received {shown(row)}"
            )
    return {name: [row[name] for row in rows] for name in inputs}


def _columns(values: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    named = isinstance(values, dict) and not _is_b64(values)
    if not named and len(inputs) == 1:
        return dict.fromkeys(inputs, values)
    # Other keys are ignored, as in the real server.
    if not named or inputs.keys() - values.keys():
        raise invalid(
            "inputs must be an object with the keys "
            f"{', '.join(inputs)}; received {shown(values)}"
        )
    return values


def _to_array(value: Any, dtype: np.dtype) -> np.ndarray:
    """A JSON value, a scalar or nested lists, as an array.

    Raises:
      OverflowError, TypeError, ValueError: it does not fit the type.
    """
    found = np.array(value, object if dtype.kind == "O" else None)
    if found.ndim > _MAX_DEPTH:
        raise ValueError("lists are nested too deeply")
    if dtype.kind == "O":
        array = np.empty(found.shape, object)
        array.flat[:] = [_to_bytes(leaf) for leaf in found.flat]
        return array
    kind = found.dtype.kind
    if kind == "O" and all(type(x) in (int, float) for x in found.flat):
        kind = "f"  # integers beyond 64 bits
    allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}.get(dtype.kind, "")
    if kind not in allowed:
        raise ValueError(f"values must be of type {dtype}")
    with np.errstate(over="ignore"):  # a double may be larger than a float
        array = found.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(array, found):
        raise ValueError(f"a value does not fit the type {dtype}")
    return array


def _to_bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        # Raises UnicodeEncodeError, a ValueError, for a lone surrogate.
        return leaf.encode(errors="surrogateescape")
    if not _is_b64(leaf) or not isinstance(leaf["b64"], str):
        raise ValueError(
            'values must be strings or {"b64": "..."}; received '
            f"{shown(leaf)}"
        )
    text = leaf["b64"].translate(_WHITESPACE)
    # All of the padding may be left out, but not a part of it.
    padding = "" if "=" in text else "=" * (-len(text) % 4)
    return base64.b64decode(text + padding, validate=True)


def encode(outputs: Mapping[str, np.ndarray], row_form: bool) -> bytes:
    """The answer's JSON; the name of a single output is left out.

    Raises:
      ServingError: JSON cannot represent an output, or rows are unequal.
    """
    values = {name: _jsonable(name, x) for name, x in outputs.items()}
    only = next(iter(values.values())) if len(values) == 1 else None
    if not row_form:
        return _dump({"outputs": values if only is None else only}, outputs)
    sizes = {len(x) if x.ndim else None for x in outputs.values()}
    if None in sizes or len(sizes) > 1:
        raise invalid(
            "outputs must have equal numbers of rows in row form; send inputs "
            "instead of instances"
        )
    rows = [
        dict(zip(values, row, strict=True))
        for row in zip(*values.values(), strict=True)
    ]
    return _dump({"predictions": rows if only is None else only}, outputs)


def _jsonable(name: str, array: np.ndarray) -> list | np.ndarray:
    if array.dtype.kind == "O":
        values = np.empty(array.shape, object)
        values.flat[:] = [
            {"b64": base64.b64encode(x).decode()}
            if name.endswith("_bytes")
            else x.decode(errors="replace")
            for x in array.flat
        ]
        return values.tolist()
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise invalid(
            f"JSON cannot represent output {name} of type {array.dtype}; cast "
            "it to float32"
        )
    return np.ascontiguousarray(array).reshape(array.shape)


def _dump(answer: dict, outputs: Mapping[str, np.ndarray]) -> bytes:
    floats = [x for x in outputs.values() if x.dtype.kind == "f"]
    if all(np.isfinite(x).all() for x in floats):
        return orjson.dumps(answer, _plain, orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(answer, default=_plain).encode()  # orjson has no NaN


def _plain(array: np.ndarray | np.generic) -> Any:
    return array.tolist()
