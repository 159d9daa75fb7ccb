"""Captions of arguments, files and sentences with choices."""

import itertools

import pytest

from attngan_tf.cli.captions import (
    MOST_VARIANTS,
    clean,
    read_captions,
    variants,
)
from attngan_tf.errors import UserError


def test_captions_of_arguments_come_before_those_of_the_file(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_bytes(b"a red bird\r\n\n  a blue bird\nbad \xff bytes\n")
    assert read_captions(str(path), ["first"]) == [
        *["first", "a red bird", "a blue bird", "bad \ufffd bytes"]
    ]


def test_bytes_that_are_not_unicode_become_a_mark():
    assert clean("caf\udce9 \u9ce5") == "caf\ufffd \u9ce5"


def test_variants_are_all_combinations_the_last_choice_fastest():
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
        # Of several words, of none, part of a word, white space.
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
def test_choices_of_many_kinds(template, expected):
    assert variants(template) == expected


@pytest.mark.parametrize(
    "template",
    [
        *["", "a bird", "a {red} bird", "a {} bird", "a {red|blue bird"],
        *["a red|blue} bird", "a {red|{blue|green}} bird", "{a|b} {c}"],
    ],
)
def test_a_sentence_without_proper_choices_is_refused(template):
    with pytest.raises(UserError, match="two or more choices") as raised:
        variants(template)
    assert repr(template) in str(raised.value)


def test_the_number_of_variants_has_a_bound():
    most = "{a|b} " * 5
    assert len(variants(most)) == MOST_VARIANTS == 32
    with pytest.raises(UserError, match=r"at most 32 .* describes 64"):
        variants(most + "{a|b}")
    # Counted before they are made.
    with pytest.raises(UserError, match=f"describes {2**400}"):
        variants("{a|b} " * 400)
