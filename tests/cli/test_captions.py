"""Captions from arguments, files and sentences with choices."""

import itertools

import pytest

from attngan_tf.cli.captions import (
    MAX_VARIANTS,
    clean,
    read_captions,
    variants,
)
from attngan_tf.errors import UserError


def test_captions_from_arguments_precede_those_of_the_file(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_bytes(b"\xef\xbb\xbfa red bird\r\n\n  a blue bird\n")
    assert read_captions(str(path), ["first"]) == [
        *["first", "a red bird", "a blue bird"]
    ]


def test_a_file_of_captions_must_be_utf8(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_bytes("a bird\nun oiseau doré\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"byte 0xe9 in .*txt line 2; save it"):
        read_captions(str(path), [])


def test_invalid_unicode_is_replaced():
    assert clean("caf\udce9 \u9ce5") == "caf\ufffd \u9ce5"


def test_variants_are_all_combinations_in_order():
    found = variants("this bird is {red|blue} with a {white|black|grey} belly")
    expected = [
        f"this bird is {one} with a {other} belly"
        for one, other in itertools.product(
            ("red", "blue"), ("white", "black", "grey")
        )
    ]
    assert [variant.caption for variant in found] == expected
    assert {variant.changed for variant in found} == {frozenset({3, 6})}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # Several words, no word, a part of a word, white space.
        (
            "a {dark red|blue} bird",
            [("a dark red bird", {1, 2}), ("a blue bird", {1})],
        ),
        ("a {|big} bird", [("a bird", set()), ("a big bird", {1})]),
        (
            "a {red|blue}-winged bird",
            [("a red-winged bird", {1}), ("a blue-winged bird", {1})],
        ),
        ("  a\t{x| y}  ", [("a x", {1}), ("a y", {1})]),
        ("{\u9ce5|caf\u00e9}", [("\u9ce5", {0}), ("caf\u00e9", {0})]),
        ("a|b {c|d}", [("a|b c", {1}), ("a|b d", {1})]),
    ],
)
def test_kinds_of_choices(template, expected):
    assert variants(template) == expected


@pytest.mark.parametrize(
    "template",
    [
        *["", "a bird", "a {red} bird", "a {} bird", "a {red|blue bird"],
        *["a red|blue} bird", "a {red|{blue|green}} bird", "{a|b} {c}"],
    ],
)
def test_a_sentence_without_valid_choices_is_refused(template):
    with pytest.raises(UserError, match="two or more choices") as raised:
        variants(template)
    assert repr(template) in str(raised.value)


def test_the_number_of_variants_is_limited():
    largest = "{a|b} " * 5
    assert len(variants(largest)) == MAX_VARIANTS == 32
    with pytest.raises(UserError, match=r"at most 32 .* describes 64"):
        variants(largest + "{a|b}")
    # They are counted before they are generated.
    with pytest.raises(UserError, match=f"describes {2**400}"):
        variants("{a|b} " * 400)
