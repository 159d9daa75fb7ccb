"""JSON to arrays and back."""

import base64
import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from export.serving import codec, limits
from export.serving.errors import Code, ServingError
from export.serving.servable import PREDICT_METHOD, Signature, TensorSpec

STRING = np.dtype(object)


def signature(**dtypes):
    inputs = {
        name: TensorSpec(None, np.dtype(dtype), None)
        for name, dtype in dtypes.items()
    }
    return Signature("s", PREDICT_METHOD, inputs, {}, {})


def _not_huge(array):
    return bool((np.isinf(array) | (np.abs(array) < 3.4e38)).all())


def decode(document, **dtypes):
    body = codec.parse(json.dumps(document).encode())
    return codec.decode(body, signature(**dtypes))


@given(
    hypothesis_numpy.arrays(
        st.sampled_from([np.int64, np.int32, np.uint8, np.bool_, np.float32]),
        hypothesis_numpy.array_shapes(max_dims=4, max_side=4),
        # The largest floats, written short, are larger than they are.
        elements={"allow_nan": False},
    ).filter(lambda array: array.dtype != np.float32 or _not_huge(array))
)
def test_numbers_come_back_as_they_were(array):
    written = codec.encode({"y": array}, row_form=False)
    body = codec.parse(b'{"inputs": %s}' % written[len(b'{"outputs":') : -1])
    feeds, row_form = codec.decode(body, signature(x=array.dtype))
    assert not row_form
    assert feeds["x"].dtype == array.dtype
    np.testing.assert_array_equal(feeds["x"], array)
    rows = json.loads(codec.encode({"y": array}, row_form=True))
    assert rows["predictions"] == json.loads(written)["outputs"]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=4))
def test_bytes_come_back_as_they_were(values):
    array = np.array([*values, b"x"], object)[:-1]
    answer = json.loads(codec.encode({"y_bytes": array}, row_form=True))
    feeds, _ = decode({"instances": answer["predictions"]}, x=STRING)
    assert feeds["x"].tolist() == values


def test_floats_are_written_short_also_beside_nan():
    values = np.array([[0.2, 1.0, 9e6]], np.float32)
    fast = codec.encode({"y": values}, row_form=True)
    slow = codec.encode(
        {"y": np.append(values, np.float32(np.nan))}, row_form=True
    )
    assert json.loads(fast)["predictions"] == [[0.2, 1.0, 9000000.0]]
    assert b"0.2," in slow.replace(b" ", b"")
    assert b"NaN" in slow
    assert b"1.0" in fast


def test_several_outputs_have_names():
    outputs = {
        "a": np.array([1, 2]),
        "b_bytes": np.array([b"x", b"y"], object),
        "c": np.array([["p"], ["q"]], object).astype("S").astype(object),
    }
    x, y = ({"b64": base64.b64encode(value).decode()} for value in (b"x", b"y"))
    assert json.loads(codec.encode(outputs, row_form=True)) == {
        "predictions": [
            {"a": 1, "b_bytes": x, "c": ["p"]},
            {"a": 2, "b_bytes": y, "c": ["q"]},
        ]
    }
    assert json.loads(codec.encode(outputs, row_form=False)) == {
        "outputs": {"a": [1, 2], "b_bytes": [x, y], "c": [["p"], ["q"]]}
    }


def test_outputs_of_unequal_rows_have_no_row_form():
    outputs = {"a": np.zeros(2), "b": np.zeros(3)}
    with pytest.raises(ServingError) as raised:
        codec.encode(outputs, row_form=True)
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert (
        len(json.loads(codec.encode(outputs, row_form=False))["outputs"]) == 2
    )


def test_text_that_is_not_utf8_leaves_as_it_is():
    outputs = {"text": np.array([b"\xffa", "é".encode()], object)}
    body = codec.encode(outputs, row_form=True)
    assert b'"\xffa"' in body
    assert '"é"'.encode() in body


@pytest.mark.parametrize(
    ("value", "dtype", "code"),
    [
        (2**24 - 1, np.float32, None),
        (2**24, np.float32, Code.INVALID_ARGUMENT),
        (2**53, np.float64, Code.INVALID_ARGUMENT),
        (2**53 - 1, np.float64, None),
        (3.5e38, np.float32, Code.INVALID_ARGUMENT),
        (255, np.uint8, None),
        (256, np.uint8, Code.INVALID_ARGUMENT),
        (-1, np.uint8, Code.INVALID_ARGUMENT),
        (True, np.bool_, None),
        (1, np.bool_, Code.INVALID_ARGUMENT),
        (1.0, np.float16, Code.UNIMPLEMENTED),
        (True, np.float32, Code.INVALID_ARGUMENT),
    ],
)
def test_what_fits_a_type(value, dtype, code):
    if code is None:
        feeds, _ = decode({"instances": [value]}, x=dtype)
        assert feeds["x"][0] == value
        return
    with pytest.raises(ServingError) as raised:
        decode({"instances": [value]}, x=dtype)
    assert raised.value.code is code


def test_deep_nesting_is_refused():
    body = b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(ServingError, match="deep"):
        codec.parse(body)


def test_very_long_integers_are_refused():
    with pytest.raises(ServingError):
        codec.parse(b'{"inputs": [' + b"1" * 10_000 + b"]}")
    body = codec.parse(b'{"inputs": [' + b"1" * 400 + b"]}")
    for dtype in (np.float32, np.float64, np.int64):
        with pytest.raises(ServingError):
            codec.decode(body, signature(x=dtype))


@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused(body):
    with contextlib.suppress(ServingError):
        assert isinstance(codec.parse(body).document, dict)


def test_a_body_of_very_many_values_is_not_read():
    body = b'{"instances": [%s1]}'
    assert codec.parse(body % (b"1," * limits.MOST_VALUES))
    with pytest.raises(ServingError, match="may hold 2097152 values"):
        codec.parse(body % (b"1," * (limits.MOST_VALUES + 1)))
