"""The comparison of an exported model's outputs with the original's."""

import numpy as np
import pytest
import tensorflow as tf

from export.comparison import differences

IMAGE = np.full([1, 8, 8, 3], 100, np.uint8)


def png(images: np.ndarray) -> np.ndarray:
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    return np.array(encoded, object)


def lines(expected, found, exact=True) -> list[str]:
    """The differences of one output."""
    return differences({"s": {"x": expected}}, {"s": {"x": found}}, exact)


@pytest.mark.parametrize(
    ("expected", "found", "exact"),
    [
        (png(IMAGE), png(IMAGE + np.uint8(1)), True),
        (png(IMAGE), png(IMAGE + np.uint8(2)), False),
        (np.float32([1, 20]), np.float32([1, 20.001]), True),
        (np.float32([1, 20]), np.float32([1, 20.5]), False),
    ],
)
def test_small_differences_are_allowed(expected, found, exact):
    assert lines(expected, found, exact) == []


@pytest.mark.parametrize(
    ("expected", "found", "exact", "words"),
    [
        (IMAGE, IMAGE + np.uint8(2), True, "by 2; at most 1 is"),
        (png(IMAGE), png(IMAGE + np.uint8(3)), False, "by 3; at most 2.6"),
        (np.ones(1), np.full(1, 1.001), True, "by 0.001; at most 0.0001"),
        (np.ones(1), np.full(1, np.nan), True, "differs by nan"),
        (np.ones(2), np.array([1, 1.1]), False, "by 0.05; at most 0.02"),
        (IMAGE, IMAGE[:, :4], True, "has shape (1, 4, 8, 3), not (1, 8, 8, 3)"),
        (np.int32([1]), np.int32([2]), True, "differs"),
        (np.array([b"a"], object), np.array([b"b"], object), True, "differs"),
    ],
)
def test_a_difference_is_one_line(expected, found, exact, words):
    (line,) = lines(expected, found, exact)
    assert line.startswith("x of s ")
    assert words in line


def test_missing_and_additional_outputs_are_differences():
    one = {"x": IMAGE}
    for found in ({}, {"s": {}}, {"s": {**one, "y": IMAGE}}):
        assert differences({"s": one}, found, True) == ["s has other outputs"]
