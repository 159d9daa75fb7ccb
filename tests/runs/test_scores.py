"""Tests of attngan_tf.runs.scores."""

import pytest

from attngan_tf.runs.scores import Row, Value, table

ROWS = [
    Row("a", "first", Value(35.204, 1000, 1.306), Value(100.0, 11580, 0.0)),
    Row("b", "the second", Value(0.21345, 16), Value(0.3, 100)),
]


def test_the_numbers_of_a_row_have_distinct_names():
    assert ROWS[0].numbers() == {
        "a": 35.204,
        "a_n": 1000,
        "a_std": 1.306,
        "real_a": 100.0,
        "real_a_n": 11580,
        "real_a_std": 0.0,
    }
    assert ROWS[1].numbers() == {
        "b": 0.21345,
        "b_n": 16,
        "real_b": 0.3,
        "real_b_n": 100,
    }


def test_table_is_aligned():
    assert table(ROWS).splitlines() == [
        "                N      generated       N            real",
        "first       1,000  35.20 +- 1.31  11,580  100.00 +- 0.00",
        "the second     16         0.2135     100          0.3000",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(4.359, 1, 0.0312), "4.36 +- 0.03"),
        (Value(100, 1), "100.00"),
        (Value(0, 1, 0), "0.00 +- 0.00"),
        (Value(0.30283, 1), "0.3028"),
        (Value(0.0161496, 1, 0.0014287), "0.0161 +- 0.0014"),
        (Value(0.00012345, 1, 3.21e-5), "0.000123 +- 0.000032"),
        # Below 0 by chance: its spread decides the number of digits.
        (Value(-1.2e-6, 1, 4.56e-4), "-0.000001 +- 0.000456"),
        (Value(float("nan"), 1), "nan"),
    ],
)
def test_small_scores_have_significant_digits(value, text):
    assert value.text() == text
