"""The demo data set: its birds, their captions and their drawings."""

import dataclasses
import hashlib
import io
import itertools
import json
import re

import numpy as np
import pytest
from PIL import Image

from attngan_tf.data.demo import builder, drawing
from attngan_tf.data.demo.captions import asked_colours
from tests.data.helpers import Preparation, records

BODY = ("crown", "back", "wings", "belly")
NOUNS = {
    "crown": "crown", "cap": "crown", "back": "back", "wings": "wings",
    "belly": "belly", "breast": "belly", "beak": "beak", "bill": "beak",
}  # fmt: skip
COLOUR = "|".join(builder.PALETTE)


def read_colours(caption: str) -> dict[str, str]:
    """Reads a caption: part of the bird -> the colour it must have."""
    noun = "|".join(NOUNS)
    found = {}
    for colour, name in re.findall(rf"\b({COLOUR}) ({noun})\b", caption):
        found[NOUNS[name]] = colour
    clause = rf"\bthe ({noun}) (?:is|are) ({COLOUR})\b"
    for name, colour in re.findall(clause, caption):
        found[NOUNS[name]] = colour
    main = re.findall(
        rf"\b({COLOUR}) bird\b|\bbird is ({COLOUR}) with", caption
    )
    if main:
        colour = "".join(main[0])
        found = dict.fromkeys(BODY, colour) | found
    if not found:  # one colour for the whole bird
        (colour,) = re.findall(rf"\b({COLOUR})\b", caption)
        found = dict.fromkeys((*BODY, "beak"), colour)
    return found


@pytest.fixture(scope="module")
def described():
    """Pairs of a bird and its captions, in both splits."""
    return {
        split: [builder._described(3, split, i)[:2] for i in range(250)]
        for split in ("train", "test")
    }


def test_captions_name_colours_of_the_bird_in_few_words(described):
    words = set()
    for bird, captions in itertools.chain(*described.values()):
        assert len(set(captions)) == builder.CAPTIONS_PER_IMAGE
        for text in captions:
            found = read_colours(text)
            assert found.items() <= bird.colours.items(), text
            assert len(set(found) - {"beak"}) >= 3
            assert asked_colours(text) == found, text
            assert len(text.split()) <= 18
            words.update(text.replace(",", "").split())
    assert 50 < len(words) < 150
    assert set(builder.PALETTE) < words


@pytest.mark.parametrize(
    ("caption", "asked"),
    [
        ("a blue bird with a red belly", "blue blue blue red -"),
        ("this bird is blue with an orange bill", "blue blue blue blue orange"),
        ("The whole bird is Red and it has a long beak", "red red red red red"),
        ("the wings are black and the cap is white", "white - black - -"),
        ("a grey breast, pink wings and a short black beak",
         "- - pink grey black"),
        ("a small bird", "- - - - -"),
    ],
)  # fmt: skip
def test_asked_colours_of_sentences(caption, asked):
    found = asked_colours(caption)
    assert [found.get(part, "-") for part in builder.PARTS] == asked.split()


def test_held_out_combinations_are_only_in_the_test_split():
    pairs, poses = {}, {}
    for split, count in (("train", 3000), ("test", 500)):
        birds = list(builder.birds(0, split, count))
        single = [bird for bird in birds if builder.is_single_coloured(bird)]
        poses[split] = {(bird.colours["belly"], bird.pose) for bird in single}
        pairs[split] = {
            (bird.colours["belly"], bird.colours["wings"])
            for bird in birds
            if not builder.is_single_coloured(bird)
        }
        assert 0.15 < len(single) / count < 0.25
        for part in BODY:  # no single colour is new in test
            found = {bird.colours[part] for bird in birds}
            assert found == set(builder.PALETTE)
    assert not pairs["train"] & pairs["test"]
    assert (len(pairs["train"]), len(pairs["test"])) == (77, 33)
    # The exchanged pairs teach which colour belongs to which part.
    assert {pair[::-1] for pair in pairs["test"]} < pairs["train"]
    assert not poses["train"] & poses["test"]
    assert (len(poses["train"]), len(poses["test"])) == (22, 11)


def test_every_combination_of_colours_is_a_class(described):
    ids = {}
    for bird, _ in itertools.chain(*described.values()):
        key = tuple(bird.colours[part] for part in builder.PARTS)
        ids[key] = builder.class_id(bird.colours)
        (row,) = builder.part_colours(np.array([ids[key]]))
        assert tuple(np.take(list(builder.PALETTE), row)) == key
    assert len(set(ids.values())) == len(ids) > 300


def test_an_image_depends_only_on_seed_split_and_index():
    first = list(builder.examples(5, "train", 3))
    assert builder.example(5, "train", 2) == first[2]
    assert (
        list(builder.birds(5, "train", 3))[2]
        == (builder._described(5, "train", 2)[0])
    )
    others = [
        builder.example(6, "train", 2),
        builder.example(5, "test", 2),
        builder.example(5, "train", 1),
    ]
    assert len({first[2].image, *(other.image for other in others)}) == 4


def test_demo_data_does_not_change(described):
    """Prepared data and trained models depend on it."""
    texts = [
        [captions, builder.class_id(bird.colours), bird.pose, bird.ground]
        for bird, captions in itertools.chain(*described.values())
    ]
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    assert digest == (
        "5ac51f057cd8461604556415e7bf88c177b9106c36273ca1ca972421cd95e9fb"
    )  # computed by version 0.1.0


def draw(bird, seed=0):
    image = drawing.draw_bird(bird, np.random.default_rng(seed))
    return np.asarray(image, np.float32)


def some_bird(pose, **fields):
    values = {
        "colours": dict.fromkeys(builder.PARTS, "grey"),
        "pose": pose,
        "left": False,
        "size": 0.5,
        "long_beak": True,
        "ground": "plain",
    }
    return builder.Bird(**(values | fields))


def changed(one, other):
    """Pixels that differ clearly: bool [H, W]."""
    return np.abs(one - other).max(axis=-1) > 60


@pytest.mark.parametrize("pose", builder.POSES)
@pytest.mark.parametrize(
    ("part", "min_fraction"),
    [("crown", 0.015), ("back", 0.02), ("wings", 0.03), ("belly", 0.03),
     ("beak", 0.006)],
)  # fmt: skip
def test_each_part_is_drawn_in_its_colour(pose, part, min_fraction):
    bird = some_bird(pose)
    plain = draw(bird)
    for name in ("red", "yellow", "blue"):
        colours = {**bird.colours, part: name}
        image = draw(dataclasses.replace(bird, colours=colours))
        where = changed(image, plain)
        assert where.mean() > min_fraction
        shade = np.median(image[where], axis=0)
        assert np.abs(shade - builder.PALETTE[name]).max() < 45


@pytest.mark.parametrize("pose", builder.POSES)
@pytest.mark.parametrize("left", [False, True])
def test_parts_lie_where_a_bird_has_them(pose, left):
    bird = some_bird(pose, left=left)
    plain = draw(bird)
    at = {}
    for part in builder.PARTS:
        colours = {**bird.colours, part: "yellow"}
        image = draw(dataclasses.replace(bird, colours=colours))
        at[part] = np.argwhere(changed(image, plain)).mean(axis=0)
    forward = -1 if left else 1
    assert at["crown"][0] < at["belly"][0] - 10
    assert forward * (at["beak"][1] - at["crown"][1]) > 8
    assert forward * (at["crown"][1] - at["back"][1]) > 8
    assert at["crown"][0] < at["beak"][0] < at["belly"][0]


def test_builder_prepares_records(tmp_path, monkeypatch):
    monkeypatch.setattr(builder.Demo, "NUM_IMAGES", {"train": 6, "test": 3})
    dataset, report = Preparation("demo", tmp_path)()
    assert report.pictures == {"train": 6, "test": 3}
    assert report.captions == {"train": 36, "test": 18}
    expected = builder.example(builder.SEED, "test", 1)
    record = records(dataset, "test")[expected.name]
    assert record["image"] == expected.image
    image = Image.open(io.BytesIO(expected.image))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (128, 128))
    texts = [text.decode() for text in record["captions"]]
    assert texts == expected.captions
    assert record["class_id"] == expected.class_id


def test_single_colour_captions_take_turns_and_are_repeatable():
    pairs = builder.single_colour_captions(66, seed=1)
    assert [colour for _, colour in pairs] == list(builder.PALETTE) * 6
    for caption, colour in pairs:
        assert read_colours(caption) == dict.fromkeys(builder.PARTS, colour)
    assert len({caption for caption, _ in pairs}) > 50
    assert builder.single_colour_captions(66, seed=1) == pairs
    assert builder.single_colour_captions(66, seed=2) != pairs
