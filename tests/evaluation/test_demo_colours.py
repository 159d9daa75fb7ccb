"""Colours of parts, and their classifier."""

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.data.demo import builder
from attngan_tf.evaluation import part_classifier
from attngan_tf.evaluation.demo_colours import (
    NOT_NAMED,
    named_colours,
    part_rows,
)
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.evaluation.part_classifier import PartClassifier

SIZE = 32
TEST = 150  # real images to classify


@pytest.fixture(scope="module")
def small(make_demo_data):
    """Data that is too small to learn from."""
    return make_demo_data(20, 10)


@pytest.fixture(scope="module")
def real(make_demo_data):
    """Data that is large enough."""
    return make_demo_data(1000, TEST)


def held_out(data):
    return HeldOut(
        records=data.test,
        vocabulary=data.vocabulary,
        words_num=18,
        count=len(data.test),
    )


def classifier(data, size=SIZE):
    return PartClassifier(data, size, tf.distribute.get_strategy())


@pytest.fixture(scope="module")
def trained(real):
    """A classifier that was trained as in a command."""
    return classifier(real)


@pytest.mark.slow
def test_colours_do_not_depend_on_other_parts(trained, render_bird):
    """In the data set, half of the backs have the wings' colour."""
    names = list(builder.PALETTE)
    images, true = [], []
    for index in range(100):
        rng = np.random.default_rng([3, index])
        colours = rng.integers(len(names), size=len(builder.PARTS))
        true.append(colours)
        colours = [names[i] for i in colours]
        images.append(render_bird(colours, index, rng, size=0.8, ground="sky"))
    images = np.stack(images).astype(np.float32) / 127.5 - 1
    found = trained.classify(tf.constant(images))
    right = (found["part_colours"].numpy() == np.array(true)).mean(axis=0)
    assert right.min() >= 0.9


@pytest.mark.slow
def test_scores_of_real_images(trained, real):
    """Near 100 % with their own captions, chance with others."""
    split = held_out(real)
    captions = split.caption_rows(3 * TEST)
    asked = named_colours([split.lines[i] for i in captions])
    own = trained.colours(split.images(SIZE))[split.owners[captions]]
    rows = part_rows(asked, own, own)
    assert [row.name for row in rows] == [
        "parts",
        *(f"parts_{part}" for part in builder.PARTS),
    ]
    for row in rows:
        assert row.generated == row.real
        assert row.generated.mean >= 95
    assert rows[0].generated.n == sum(row.generated.n for row in rows[1:])
    (exchanged, *_) = part_rows(asked, np.roll(own, 1, axis=0), own)
    assert exchanged.real == rows[0].real
    assert exchanged.generated.n == exchanged.real.n
    assert exchanged.generated.mean <= 25


def test_named_colours_of_captions():
    captions = ["this bird is all red", "the beak is white", "a bird"]
    names, none = list(builder.PALETTE), NOT_NAMED
    np.testing.assert_array_equal(
        named_colours(captions),
        [
            5 * [names.index("red")],
            [none, none, none, none, names.index("white")],
            5 * [none],
        ],
    )


def test_rows_count_the_parts_that_captions_name():
    none = NOT_NAMED
    asked = np.array([[1, 2, none, none, 3], [none, 4, 5, none, none]])
    generated = np.array([[1, 0, 7, 7, 3], [7, 4, 0, none, none]])
    real = np.array([[1, 2, 0, 0, 3], [0, 4, 5, 0, 0]])
    rows = {row.name: row for row in part_rows(asked, generated, real)}
    assert rows["parts"].generated == (60.0, 5, None)
    assert rows["parts"].real == (100.0, 5, None)
    assert rows["parts_back"].generated == (50.0, 2, None)
    assert rows["parts_wings"].generated == (0.0, 1, None)
    assert "parts_belly" not in rows  # no caption names it


@pytest.fixture
def training(monkeypatch):
    """Training takes two steps; a list with the size of each training."""
    sizes, original = [], part_classifier._trained

    def trained(data, size):
        sizes.append(size)
        return original(data, size)

    monkeypatch.setattr(part_classifier, "STEPS", 2)
    monkeypatch.setattr(part_classifier, "_trained", trained)
    return sizes


def test_a_classifier_is_trained_once_for_the_same_data_and_settings(
    small, tmp_path, training, monkeypatch
):
    data, elsewhere = (small._replace(name=str(tmp_path / x)) for x in "ab")
    first, again, other = map(classifier, (data, data, elsewhere))
    classifier(data, 2 * SIZE)  # larger images are reduced
    assert training == [SIZE, SIZE]
    # Training is deterministic: the digests of the weights are equal.
    assert first.provenance == again.provenance == other.provenance
    classifier(data, SIZE // 2)
    classifier(data._replace(train=small.test))
    assert training[2:] == [SIZE // 2, SIZE]
    monkeypatch.setattr(part_classifier, "SEED", 1)
    assert classifier(data).provenance["sha256"] != first.provenance["sha256"]
