"""Which colours captions of the demo data set ask for."""

import re

import numpy as np
import pytest

from attngan_tf.data.demo import builder, captions
from attngan_tf.data.demo.captions import asked_colours

COUNT = 1000  # birds of each split, each with one caption


@pytest.fixture
def named_parts(monkeypatch):
    """The parts that the generator of captions chose for the last one."""
    last = {}
    parts_of_all = {
        "_main_colour_caption": captions.BODY,
        "_single_colour_caption": builder.PARTS,
    }

    def spy(name):
        original = getattr(captions, name)

        def called(*arguments):
            found = original(*arguments)
            last["form"] = name
            last["parts"] = set(parts_of_all.get(name, found))
            return found

        monkeypatch.setattr(captions, name, called)

    for name in ("_named_parts", *parts_of_all):
        spy(name)
    return last


@pytest.mark.parametrize("split", ["train", "test"])
def test_captions_ask_for_the_birds_colours_in_the_parts_they_name(
    named_parts, split
):
    forms = []
    for index, bird in enumerate(builder.birds(5, split, COUNT)):
        text = captions.caption(bird, np.random.default_rng([1, index]))
        expected = named_parts["parts"]
        if named_parts["form"] == "_main_colour_caption":
            expected |= (
                {"beak"} if re.search(r"\b(beak|bill)\b", text) else set()
            )
        assert asked_colours(text) == {
            part: bird.colours[part] for part in expected
        }, text
        forms.append(named_parts["form"])
    counts = {form: forms.count(form) for form in set(forms)}
    assert len(counts) == 3
    assert min(counts.values()) > COUNT / 10


@pytest.mark.parametrize(
    ("caption", "asked"),
    [
        ("a blue bird with a red belly", "blue blue blue red -"),
        ("this bird is blue with an orange bill", "blue blue blue blue orange"),
        ("this bird is completely red", "red red red red red"),
        ("The whole bird is Red and it has a long beak", "red red red red red"),
        ("the wings are black and the cap is white", "white - black - -"),
        ("a grey breast, pink wings and a short black beak",
         "- - pink grey black"),
        ("a small bird", "- - - - -"),
        ("", "- - - - -"),
    ],
)  # fmt: skip
def test_colours_of_sentences(caption, asked):
    found = asked_colours(caption)
    assert [found.get(part, "-") for part in builder.PARTS] == asked.split()
