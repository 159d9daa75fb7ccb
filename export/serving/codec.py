"""JSON of the REST interface to arrays, and arrays to JSON.

It accepts and refuses what TensorFlow Serving's json_tensor.cc does, and adds
two checks: a shape must fit the signature, and a request has at least one row.
"""

import base64
import binascii
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from export.serving.errors import Code, ServingError, invalid, shown
from export.serving.limits import MOST_VALUES
from export.serving.servable import Signature, TensorSpec

_BYTES_SUFFIX = "_bytes"
_DEEPEST = 32  # dimensions of an input; numpy has 64
_WHITESPACE = str.maketrans("", "", " \t\r\n\v\f")


class Body(NamedTuple):
    """A request's JSON object, and how its strings become bytes.

    Bytes that are not UTF-8 pass through unchanged, as in the real server.
    """

    document: dict[str, Any]
    string_errors: str


def parse(body: bytes) -> Body:
    """The JSON object of a request's body.

    Raises:
      ServingError: it is not JSON, or not an object.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        raise invalid("the body must be a JSON object; received none")
    # Commas of captions count, too: to tell them apart is to parse.
    if body.count(b",") > MOST_VALUES:
        raise invalid(f"the body may hold {MOST_VALUES} values")
    errors = "strict"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        errors = "surrogateescape"
        text = body.decode(errors=errors)
    try:
        document = json.loads(text, parse_float=_finite)
    except RecursionError:
        raise invalid("the body's JSON is nested too deeply") from None
    except ValueError as error:
        raise invalid(f"the body must be JSON: {error}") from None
    if not isinstance(document, dict):
        raise invalid(
            f"the body must be a JSON object; received {shown(document)}"
        )
    return Body(document, errors)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:20]} does not fit a double")
    return number


def signature_name(body: Body) -> str:
    """The request's signature; serving_default where it names none."""
    name = body.document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"signature_name must be a string; received {shown(name)}"
        )
    return name or "serving_default"


def decode(
    body: Body, signature: Signature
) -> tuple[dict[str, np.ndarray], bool]:
    """A request's inputs.

    Returns:
      Arrays by input name, and whether the request came in row form.

    Raises:
      ServingError: it does not fit the signature.
    """
    document, errors = body
    if not signature.inputs:
        raise invalid(f"the signature {signature.name} has no inputs")
    given = [key for key in ("instances", "inputs") if key in document]
    if len(given) != 1:
        raise invalid(
            "the body must hold either instances or inputs; received "
            f"{' and '.join(given) or 'neither'}"
        )
    row_form = given == ["instances"]
    values = document[given[0]]
    columns = (
        _columns_of_rows(values, signature.inputs)
        if row_form
        else _columns(values, signature.inputs)
    )
    feeds = {}
    for name, spec in signature.inputs.items():
        try:
            feeds[name] = to_array(columns[name], spec, errors)
        except ServingError as error:
            raise ServingError(
                error.code, f"input {name}: {error.message}"
            ) from None
    return feeds, row_form


def _is_b64(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) == 1
        and isinstance(value.get("b64"), str)
    )


def _columns_of_rows(rows: Any, inputs: Mapping[str, Any]) -> dict[str, list]:
    if not isinstance(rows, list) or not rows:
        raise invalid(
            "instances must be a list of at least one row; received "
            f"{shown(rows)}"
        )
    named = [isinstance(row, dict) and not _is_b64(row) for row in rows]
    if not any(named):
        if len(inputs) > 1:
            raise invalid(
                "each row must be an object with the keys "
                f"{', '.join(inputs)}; received a plain list"
            )
        return dict.fromkeys(inputs, rows)
    for number, row in enumerate(rows):
        if not named[number] or row.keys() != inputs.keys():
            raise invalid(
                f"row {number} must be an object with exactly the keys "
                f"{', '.join(inputs)}; received {shown(row)}"
            )
    return {name: [row[name] for row in rows] for name in inputs}


def _columns(values: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(values, dict) or _is_b64(values):
        if len(inputs) > 1:
            raise invalid(
                "inputs must be an object with the keys "
                f"{', '.join(inputs)}; received {shown(values)}"
            )
        return dict.fromkeys(inputs, values)
    missing = [name for name in inputs if name not in values]
    if missing:
        # Keys that are no inputs are passed over, as in the real server.
        raise invalid(f"inputs lacks the keys {', '.join(missing)}")
    return {name: values[name] for name in inputs}


def to_array(value: Any, spec: TensorSpec, errors: str) -> np.ndarray:
    """A JSON value, a scalar or nested lists, as an array of the spec's type.

    Raises:
      ServingError: the lists are ragged, or a value has another type.
    """
    shape = []
    leaves = [value]
    while isinstance(leaves[0], list):
        shape.append(len(leaves[0]))
        if any(
            not isinstance(item, list) or len(item) != shape[-1]
            for item in leaves
        ):
            raise invalid("lists must be of equal length and depth")
        if len(shape) > _DEEPEST:
            raise invalid("lists are nested too deeply")
        leaves = list(itertools.chain.from_iterable(leaves))
        if not leaves:
            break
    array = np.empty(len(leaves), object)
    if leaves:
        array = _convert(leaves, spec.dtype, errors)
    return array.reshape(shape).astype(spec.dtype, copy=False)


def _convert(leaves: list, dtype: np.dtype, errors: str) -> np.ndarray:
    kinds = set(map(type, leaves))
    if dtype.kind == "O":
        array = np.empty(len(leaves), object)
        array[:] = [_to_bytes(leaf, errors) for leaf in leaves]
        return array
    allowed = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}
    if dtype.kind not in allowed or dtype == np.float16:
        raise ServingError(
            Code.UNIMPLEMENTED, f"JSON has no form for the type {dtype}"
        )
    if not kinds <= allowed[dtype.kind]:
        wrong = next(x for x in leaves if type(x) not in allowed[dtype.kind])
        raise invalid(
            f"values must be of type {dtype}; received {shown(wrong)}"
        )
    if dtype.kind == "f":
        return _to_floats(leaves, dtype, int in kinds)
    try:
        return np.array(leaves, dtype)
    except OverflowError:
        raise invalid(f"a value does not fit the type {dtype}") from None


def _to_bytes(leaf: Any, errors: str) -> bytes:
    if isinstance(leaf, str):
        try:
            return leaf.encode(errors=errors)
        except UnicodeEncodeError:
            raise invalid("a string holds half of a surrogate pair") from None
    if not _is_b64(leaf):
        raise invalid(
            'values must be strings or {"b64": "..."}; received '
            f"{shown(leaf)}"
        )
    # Padding may be left out and white space put in.
    text = leaf["b64"].translate(_WHITESPACE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"not base64: {shown(leaf['b64'])}") from None


def _to_floats(
    leaves: list, dtype: np.dtype, some_are_integers: bool
) -> np.ndarray:
    limits = np.finfo(dtype)
    if some_are_integers:
        exact = 2 ** (limits.nmant + 1) - 1
        inexact = [x for x in leaves if type(x) is int and abs(x) > exact]
        if inexact:
            raise invalid(
                f"{shown(inexact[0])} has no exact value of type {dtype}; "
                "write it as a decimal"
            )
    array = np.array(leaves, np.float64)
    finite = np.isfinite(array)
    if np.any(np.abs(array[finite]) > limits.max):
        raise invalid(f"a value does not fit the type {dtype}")
    return array.astype(dtype)


def encode(outputs: Mapping[str, np.ndarray], row_form: bool) -> bytes:
    """The answer's JSON; the name of a single output is left out.

    Raises:
      ServingError: an output has no form in JSON, or rows are unequal.
    """
    plain = True
    values = {}
    for name, array in outputs.items():
        if row_form:
            _check_rows(name, array, outputs)
        values[name], has_text_form = _jsonable(name, array)
        plain = plain and has_text_form
    if not row_form:
        answer = values if len(values) > 1 else next(iter(values.values()))
        return _dump({"outputs": answer}, plain)
    if len(values) == 1:
        rows = list(next(iter(values.values())))
    else:
        columns = [list(column) for column in values.values()]
        rows = [
            dict(zip(values, row, strict=True))
            for row in zip(*columns, strict=True)
        ]
    return _dump({"predictions": rows}, plain)


def _check_rows(name: str, array: np.ndarray, outputs: Mapping) -> None:
    first = next(iter(outputs.values()))
    if not array.ndim or len(array) != len(first):
        raise invalid(
            f"output {name} of shape {array.shape} has no row for each of the "
            "request's; ask for it with inputs"
        )


def _jsonable(name: str, array: np.ndarray) -> tuple[Any, bool]:
    """What orjson can write, and whether it can write it.

    orjson has no NaN and no bytes that are not UTF-8; json has both, slowly.
    """
    if array.dtype.kind == "O":
        if name.endswith(_BYTES_SUFFIX):
            return _nested(array, _b64), True
        texts = _nested(array, lambda x: x.decode(errors="surrogateescape"))
        return texts, all(map(_is_utf8, array.flat))
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise invalid(
            f"output {name} of type {array.dtype} has no form in JSON; cast "
            "it to float32"
        )
    array = np.ascontiguousarray(array).reshape(array.shape)
    if array.ndim == 0:
        return array[()], array.dtype.kind != "f" or bool(np.isfinite(array))
    return array, array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _nested(array: np.ndarray, function) -> Any:
    result = np.empty(array.shape, object)
    for index, value in enumerate(array.flat):
        result.flat[index] = function(value)
    return result.tolist()


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _dump(answer: dict, plain: bool) -> bytes:
    if plain:
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    text = json.dumps(answer, default=_plain_list, ensure_ascii=False)
    return text.encode(errors="surrogateescape")


def _plain_list(value: np.ndarray | np.generic) -> Any:
    if value.dtype == np.float32:
        # By way of text: the shortest decimal, not the double's 17 digits.
        value = value.astype("U").astype(np.float64)
    return value.tolist()
