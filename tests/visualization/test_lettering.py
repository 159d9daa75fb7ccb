"""Text as images: wrapping, missing glyphs, underlines."""

import itertools

import numpy as np
import pytest

from attngan_tf.visualization import lettering


@pytest.fixture
def no_fonts(monkeypatch):
    monkeypatch.setattr(lettering, "installed_font", lambda letters: None)


def lines_of(text, width, font, max_lines):
    """The lines that a text wraps to, as texts."""
    found = lettering.wrapped(text.split(), width, font, max_lines)
    return [" ".join(piece for _, piece in line) for line in found]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a café, naïve", "a cafe, naive"),
        ("\u9ce5 bird \U0001f426", "? bird ?"),
        ("\u0637\u0627\u0626\u0631", "????"),
        ("zero\x00, lone \ud800", "zero?, lone ?"),
        ("\u201cquoted\u201d \u2026", "\u201cquoted\u201d \u2026"),
        ("red \u2013 or\u2014blue-green", "red - or-blue-green"),
    ],
)
@pytest.mark.usefixtures("no_fonts")
def test_unsupported_glyphs_are_replaced(text, shown):
    assert lettering.supported(text, lettering.font_of(20)) == shown
    image = lettering.render_text(text, 200, 20)
    assert image.tobytes() == lettering.render_text(shown, 200, 20).tobytes()


def test_text_wraps_at_words_and_loses_none():
    font = lettering.font_of(20)
    text = "this small bird has a red crown and a very long yellow tail"
    lines = lines_of(text, 150, font, 12)
    assert len(lines) > 3
    assert " ".join(lines) == text
    assert all(font.getlength(line) <= 150 for line in lines)
    for line, after in itertools.pairwise(lines):  # none wraps too early
        assert font.getlength(f"{line} {after.split()[0]}") > 150


@pytest.mark.parametrize("lines", [3, 12])
def test_long_words_are_broken_and_long_texts_end_in_an_ellipsis(lines):
    font = lettering.font_of(20)
    found = lines_of("a " + "w" * 50, 100, font, lines)
    assert all(font.getlength(line) <= 100 for line in found)
    shown = "".join(found)
    if lines == 3:
        assert len(found) == 3
        assert shown.endswith("w\u2026")
    else:
        assert shown == "a" + "w" * 50


def test_a_megabyte_of_text_renders_a_small_image(monkeypatch):
    processed = []
    monkeypatch.setattr(
        lettering, "supported", lambda text, _: processed.append(text) or text
    )
    image = lettering.render_text("word " * 200_000, 200, 13)
    assert image.height < 20 * lettering.MAX_LINES
    assert sum(map(len, processed)) < 10_000


@pytest.mark.usefixtures("no_fonts")
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("size", [13, 28])
def test_given_words_are_underlined(size, centred):
    """Underlines the second word of each of two lines.

    A letter without a glyph, an accent, and a character that NFKD turns into a
    space do not move the underlines to other words.
    """
    text = "\u0384a caf\u00e9 \u9ce5 red bird"
    lines = [["a", "cafe", "?"], ["red", "bird"]]
    font, margin = lettering.font_of(size), lettering.MARGIN
    room = max(font.getlength(" ".join(line)) for line in lines) // 1 + 2
    width, height = int(room) + 2 * margin, sum(font.getmetrics())
    plain, marked = (
        lettering.render_text(text, width, size, centred=centred, underlined=u)
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
        assert y.min() > font.getmetrics()[0]  # below the letters
        assert np.ptp(y) + 1 == max(1, size // 12)
    assert not added[: size // 4].any()


def test_a_broken_word_is_underlined_in_each_line():
    plain = np.asarray(lettering.render_text("w" * 30 + " a", 150, 20))
    marked = lettering.render_text("w" * 30 + " a", 150, 20, underlined=[0])
    rows = (np.asarray(marked) != plain).any(axis=(1, 2))
    lines = lines_of("w" * 30 + " a", 142, lettering.font_of(20), 12)
    assert len(lines) > 3
    assert (np.diff(rows.astype(int)) == 1).sum() == len(lines)


def test_text_of_other_scripts_uses_an_installed_font(capsys):
    """Cyrillic has its letters; Arabic starts at the right, and so do marks."""
    lettering.installed_font.cache_clear()
    texts = ["красная птица", "طائر أحمر"]
    if not all(map(lettering.installed_font, map(letters_of, texts))):
        pytest.skip("no installed font has Cyrillic and Arabic letters")
    assert not capsys.readouterr().err
    cyrillic, arabic = (
        np.asarray(lettering.render_text(text, 400, 20)) for text in texts
    )
    questions = lettering.render_text("??????? ?????", 400, 20)
    assert not np.array_equal(cyrillic, questions)
    _, ink = np.nonzero(cyrillic.min(axis=2) < 128)
    assert ink.min() < 10
    _, ink = np.nonzero(arabic.min(axis=2) < 128)
    assert ink.max() > 390
    assert ink.min() > 200
    marked = lettering.render_text(texts[1], 400, 20, underlined=[0])
    _, added = np.nonzero((np.asarray(marked) != arabic).any(axis=2))
    assert added.max() > 390  # the first word is the rightmost
    assert added.min() > (ink.min() + ink.max()) / 2 - 10


def letters_of(text):
    return "".join(sorted(set(text) - {" "}))


def test_letters_that_no_font_has_are_reported_once(capsys):
    lettering.installed_font.cache_clear()
    lettering._report_missing_font.cache_clear()
    for letter in "\uf8a1\uf8a2":
        assert lettering.installed_font(letter) is None
    assert capsys.readouterr().err.count("fontconfig knows no font") == 1
