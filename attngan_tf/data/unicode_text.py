"""Case folding and Unicode's composed form (NFC), in graph.

TensorFlow changes letters to lower case, but it can neither fold nor compose
them. The tables are those of Python's `unicodedata`; an exported model contains
them, so that it needs no Python.
"""

import functools
import sys
import unicodedata
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

_PAIR = 2**21  # a pair of code points is numbered first * _PAIR + second


def fold(texts: tf.Tensor) -> tf.Tensor:
    """The texts, case-folded and in NFC.

    As `unicodedata.normalize("NFC", text.casefold())`, so that "É" equals "é",
    and both equal "e" with a combining accent.

    Args:
      texts: string [B], valid UTF-8.

    Returns:
      string [B].
    """
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    points, rows = _decomposed(
        characters.flat_values, characters.value_rowids()
    )
    points, rows = _composed(*_ordered(points, rows))
    return tf.strings.unicode_encode(
        tf.RaggedTensor.from_value_rowids(
            points, rows, nrows=tf.size(texts, tf.int64), validate=False
        ),
        "UTF-8",
    )


def _decomposed(points, rows):
    """Folds code points and splits off their marks; one may become several."""
    keys, starts, pieces = _decompositions()
    index, found = _find(keys, points)
    first = tf.where(found, tf.gather(starts, index), 0)
    counts = tf.where(found, tf.gather(starts, index + 1) - first, 1)
    source = tf.repeat(tf.range(tf.size(points)), counts)
    offset = tf.range(tf.size(source)) - tf.gather(
        tf.cumsum(counts, exclusive=True), source
    )
    points = tf.where(
        tf.gather(found, source),
        tf.gather(pieces, tf.gather(first, source) + offset),
        tf.gather(points, source),
    )
    return points, tf.gather(rows, source)


def _ordered(points, rows):
    """Sorts the marks of each letter by their combining class."""
    classes = _combining_classes(points)
    letters = tf.cumsum(tf.cast(_begins(classes, rows), tf.int64))
    keys = letters * 256 + tf.cast(classes, tf.int64)
    order = tf.argsort(keys, stable=True)
    return tf.gather(points, order), rows


def _composed(points, rows):
    """Joins letters and marks wherever Unicode has one code point for both."""
    unknown = [tf.TensorShape([None])] * 2
    points, rows, _ = tf.while_loop(
        lambda points, rows, more: more,
        _join_pairs,
        (points, rows, tf.constant(True)),
        shape_invariants=(*unknown, tf.TensorShape([])),
    )
    return points, rows


def _join_pairs(points, rows, more):
    """Joins each letter to the first mark with which it has a common form.

    Between the two there may be marks of other classes. A letter also joins
    the letter before it: so do parts of Korean syllables.

    Returns:
      The remaining code points and rows, and whether there was a pair.
    """
    del more
    keys, joined = _compositions()
    count = tf.size(points)
    position = tf.range(count)
    classes = _combining_classes(points)
    begins = _begins(classes, rows)
    letters = tf.boolean_mask(position, begins)
    own = tf.gather(letters, tf.cumsum(tf.cast(begins, tf.int32)) - 1)
    before = tf.maximum(position - 1, 0)
    base = tf.where(begins, before, own)
    previous = tf.gather(classes, before)
    adjacent = tf.where(begins, previous == 0, base == before)
    joinable = (
        (adjacent | (~begins & (previous < classes)))
        & (base < position)
        & (tf.gather(rows, base) == rows)
        & (tf.gather(classes, base) == 0)
    )
    pair = tf.cast(tf.gather(points, base), tf.int64) * _PAIR
    index, found = _find(keys, pair + tf.cast(points, tf.int64))
    joinable &= found
    first = tf.math.unsorted_segment_min(
        tf.where(joinable, position, count), base, count
    )
    joinable &= tf.gather(first, base) == position
    points = tf.tensor_scatter_nd_update(
        points,
        tf.boolean_mask(base, joinable)[:, None],
        tf.boolean_mask(tf.gather(joined, index), joinable),
    )
    return (
        tf.boolean_mask(points, ~joinable),
        tf.boolean_mask(rows, ~joinable),
        tf.reduce_any(joinable),
    )


def _begins(classes, rows):
    """Whether a code point is no mark, or the first of its text."""
    new_row = tf.concat([[True], rows[1:] != rows[:-1]], 0)[: tf.size(rows)]
    return new_row | (classes == 0)


def _combining_classes(points):
    """Unicode's combining classes int32; 0: not a mark."""
    keys, classes = _marks()
    index, found = _find(keys, points)
    return tf.where(found, tf.gather(classes, index), 0)


def _find(keys: np.ndarray, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Indices of values in sorted keys, and whether they are there."""
    index = tf.minimum(tf.searchsorted(keys, values), len(keys) - 1)
    return index, tf.gather(keys, index) == values


def _code_points() -> Iterator[str]:
    """All code points except surrogates."""
    points = map(chr, range(sys.maxunicode + 1))
    return (x for x in points if not "\ud800" <= x <= "\udfff")


@functools.cache
def _decompositions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Code points that change, and their new ones from start to next start."""
    keys, starts, pieces = [], [0], []
    for letter in _code_points():
        parts = unicodedata.normalize("NFD", letter.casefold())
        # Korean syllables would only be joined again.
        if parts != letter and not "\uac00" <= letter <= "\ud7a3":
            keys.append(ord(letter))
            pieces.extend(map(ord, parts))
            starts.append(len(pieces))
    return tuple(np.array(x, np.int32) for x in (keys, starts, pieces))


@functools.cache
def _compositions() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of code points that have a common form, and this form."""
    pairs = {}
    for letter in _code_points():
        *first, last = unicodedata.normalize("NFD", letter)
        first = unicodedata.normalize("NFC", "".join(first))
        if len(first) == 1 and unicodedata.normalize("NFC", letter) == letter:
            pairs[ord(first) * _PAIR + ord(last)] = ord(letter)
    keys = sorted(pairs)
    joined = np.array([pairs[key] for key in keys], np.int32)
    return np.array(keys, np.int64), joined


@functools.cache
def _marks() -> tuple[np.ndarray, np.ndarray]:
    """All code points with a combining class, and this class."""
    marks = [x for x in _code_points() if unicodedata.combining(x)]
    classes = [unicodedata.combining(x) for x in marks]
    return np.array(list(map(ord, marks)), np.int32), np.array(
        classes, np.int32
    )
