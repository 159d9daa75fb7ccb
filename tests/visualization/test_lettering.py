"""Text as pictures: wrapping, missing letters, underlines."""

import itertools

import numpy as np
import pytest

from attngan_tf.visualization import lettering


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a café, naïve", "a cafe, naive"),
        ("\u9ce5 bird \U0001f426", "? bird ?"),
        ("\u0637\u0627\u0626\u0631", "????"),
        ("zero\x00, lone \ud800", "zero?, lone ?"),
        ("\u201cquoted\u201d \u2026", "\u201cquoted\u201d ..."),
        ("red \u2013 or\u2014blue-green", "red - or-blue-green"),
    ],
)
def test_what_the_font_cannot_draw_is_replaced(text, shown):
    assert lettering.drawable(text, lettering.font_of(20)) == shown
    drawn = lettering.draw_text(text, 200, 20)
    assert drawn.tobytes() == lettering.draw_text(shown, 200, 20).tobytes()


def test_text_wraps_at_words_and_loses_none():
    font = lettering.font_of(20)
    text = "this small bird has a red crown and a very long yellow tail"
    lines = lettering.wrapped(text, 150, font, 12)
    assert len(lines) > 3
    assert " ".join(lines) == text
    assert all(font.getlength(line) <= 150 for line in lines)
    for line, after in itertools.pairwise(lines):  # none too early
        assert font.getlength(f"{line} {after.split()[0]}") > 150


def test_a_word_wider_than_the_line_is_broken():
    font = lettering.font_of(20)
    lines = lettering.wrapped("a " + "w" * 50, 100, font, 12)
    assert "".join(lines) == "a" + "w" * 50
    assert all(font.getlength(line) <= 100 for line in lines)


def test_text_too_long_ends_in_an_ellipsis():
    font = lettering.font_of(20)
    lines = lettering.wrapped("word " * 500, 150, font, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("\u2026")
    assert font.getlength(lines[-1]) <= 150


def test_a_megabyte_of_text_stays_a_picture(monkeypatch):
    looked_at = []
    monkeypatch.setattr(
        lettering, "drawable", lambda text, _: looked_at.append(text) or text
    )
    drawn = lettering.draw_text("word " * 200_000, 200, 13)
    assert drawn.height < 20 * lettering.MOST_LINES
    assert sum(map(len, looked_at)) < 10_000


@pytest.mark.parametrize("size", [13, 20, 28])
@pytest.mark.parametrize("centred", [False, True])
def test_the_named_words_are_underlined(size, centred):
    """The second word of each of two lines.

    A letter without a glyph, an accent and a mark that unfolds into a space do
    not move the lines to other words.
    """
    text = "\u00b4a caf\u00e9 \u9ce5 red bird"
    lines = [["a", "cafe", "?"], ["red", "bird"]]
    font, margin = lettering.font_of(size), lettering.MARGIN
    room = max(font.getlength(" ".join(line)) for line in lines) // 1 + 2
    width, height = int(room) + 2 * margin, sum(font.getmetrics())
    plain, marked = (
        lettering.draw_text(text, width, size, centred=centred, underlined=u)
        for u in ((), {1, 4})
    )
    added = (np.asarray(marked) != np.asarray(plain)).any(axis=2)
    for row, line in enumerate(lines):
        top = size // 4 + row * height
        y, x = np.nonzero(added[top : top + height])
        left = (room - font.getlength(" ".join(line))) / 2 if centred else 0
        start = margin + left + font.getlength(f"{line[0]} ")
        assert x.min() == pytest.approx(start, abs=2)
        assert x.max() == pytest.approx(start + font.getlength(line[1]), abs=2)
        assert y.min() > font.getmetrics()[0]  # below the letters' feet
        assert np.ptp(y) + 1 == max(1, size // 12)
    assert not added[: size // 4].any()


def test_a_word_broken_over_lines_is_underlined_in_each():
    plain = np.asarray(lettering.draw_text("w" * 30 + " a", 150, 20))
    marked = lettering.draw_text("w" * 30 + " a", 150, 20, underlined=[0])
    rows = (np.asarray(marked) != plain).any(axis=(1, 2))
    font = lettering.font_of(20)
    lines = lettering.wrapped("w" * 30 + " a", 142, font, 12)
    assert len(lines) > 3
    assert (np.diff(rows.astype(int)) == 1).sum() == len(lines)
