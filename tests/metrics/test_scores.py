"""Tests of attngan_tf.metrics.scores."""

from attngan_tf.metrics.scores import Row, Value, table

ROWS = [
    Row("a", "first", Value(35.204, 1000, 1.306), Value(100.0, 11580, 0.0)),
    Row("b", "the second", Value(0.21345, 16), Value(0.3, 100), 4),
]


def test_numbers_have_names_of_their_own():
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
