"""JSON to arrays and back."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from export.serving import codec
from export.serving.errors import ServingError
from export.serving.servable import Signature


def decode(document, dtype):
    body = codec.parse(json.dumps(document).encode())
    tensor = tf.TensorSpec(None, tf.as_dtype(dtype))
    feeds, _ = codec.decode(body, Signature("s", {"x": tensor}, {}))
    return feeds["x"]


@given(
    hypothesis_numpy.arrays(
        st.sampled_from([np.int64, np.int32, np.uint8, np.bool_, np.float32]),
        hypothesis_numpy.array_shapes(max_dims=4, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
def test_numbers_come_back_as_they_were(array):
    columns = json.loads(codec.encode({"y": array}, row_form=False))["outputs"]
    found = decode({"inputs": columns}, array.dtype)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    rows = json.loads(codec.encode({"y": array}, row_form=True))
    assert rows["predictions"] == columns


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=4))
def test_bytes_come_back_as_they_were(values):
    array = np.array([*values, b"x"], object)[:-1]
    answer = json.loads(codec.encode({"y_bytes": array}, row_form=True))
    found = decode({"instances": answer["predictions"]}, tf.string)
    assert found.tolist() == values


def test_several_outputs_have_names():
    outputs = {
        "a": np.array([1, 2]),
        "b_bytes": np.array([b"x", b"y"], object),
        "c": np.array([[b"p"], [b"\xff"]], object),
        "d": np.array([0.2, 9e6], np.float32),
    }
    x, y = ({"b64": base64.b64encode(value).decode()} for value in (b"x", b"y"))
    assert json.loads(codec.encode(outputs, row_form=True)) == {
        "predictions": [
            {"a": 1, "b_bytes": x, "c": ["p"], "d": 0.2},
            {"a": 2, "b_bytes": y, "c": ["\ufffd"], "d": 9e6},
        ]
    }
    assert json.loads(codec.encode(outputs, row_form=False)) == {
        "outputs": {
            "a": [1, 2],
            "b_bytes": [x, y],
            "c": [["p"], ["\ufffd"]],
            "d": [0.2, 9e6],
        }
    }


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (2**24 + 1, np.float32, 2.0**24),
        (2**53 + 1, np.float64, 2.0**53),
        (2**80, np.float32, 2.0**80),
        (3.5e38, np.float32, np.inf),
        (255, np.uint8, 255),
        (2**63, np.uint64, 2**63),
        (True, np.bool_, True),
        (256, np.uint8, None),
        (-1, np.uint8, None),
        (2**63, np.int64, None),
        (10**400, np.int64, None),
        (10**400, np.float64, None),
        (1, np.bool_, None),
        (True, np.float32, None),
        (None, np.float32, None),
        ({}, np.float32, None),
        ([1], tf.string, None),
    ],
)
def test_values_must_fit_their_type(value, dtype, expected):
    if expected is None:
        with pytest.raises(ServingError):
            decode({"instances": [value]}, dtype)
    else:
        assert decode({"instances": [value]}, dtype)[0] == expected
