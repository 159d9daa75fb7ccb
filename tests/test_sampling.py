"""From captions and seeds to images."""

import dataclasses
import warnings

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf import sampling
from attngan_tf.errors import UserError
from attngan_tf.text_to_image import TextToImage

CAPTIONS = ["a red bird", "", "zzz qqq", "\u9ce5 \U0001f426", "a bird " * 400]


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model


def test_noise_depends_on_the_seed_of_its_row_alone():
    together, other = sampling.noise(tf.constant([3, 7, 3], tf.int64), 5, 5)
    alone, _ = sampling.noise(tf.constant([7], tf.int64), 5, 6)
    np.testing.assert_array_equal(together[1], alone[0])
    np.testing.assert_array_equal(together[0], together[2])
    assert not np.array_equal(together[0], together[1])
    assert not np.array_equal(together, other)


def test_noise_of_a_seed_never_changes():
    """Otherwise all images would; by stateless_normal of (5, 0), (5, 1)."""
    z, eps = sampling.noise(tf.constant([5], tf.int64), 3, 3)
    np.testing.assert_allclose(z, [[-2.0553784, 1.1581877, 0.19160862]])
    np.testing.assert_allclose(eps, [[-0.29864547, 0.9386169, -1.9554892]])


@pytest.mark.parametrize(
    ("value", "level"),
    [(-1.0, 0), (1.0, 255), (0.0, 128), (-2.0, 0), (3.0, 255), (0.5, 191)],
)
def test_pixels_are_rounded_and_clipped(value, level):
    assert sampling.to_uint8(tf.constant([value])).numpy() == [level]


def test_a_row_does_not_depend_on_the_others(model):
    name = model.last_images
    together = model.outputs(CAPTIONS, range(5), [name])[name]
    assert together.shape == (len(CAPTIONS), 16, 16, 3)
    for row, caption in enumerate(CAPTIONS):
        alone = model.outputs([caption], [row], [name])[name]
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_a_caption_has_its_own_seed(model):
    first = model.generate(["a red bird", "a blue bird"])
    again = model.generate(["a blue bird", "a red bird"])
    np.testing.assert_array_equal(first, again[::-1])
    other = model.generate(["a red bird"], seeds=[1])
    assert not np.array_equal(first[0], other[0])


def test_condition_noise_can_be_disabled(model):
    still = TextToImage(
        config=dataclasses.replace(
            model.config, condition_noise=False, words_num_test=6
        ),
        vocabulary=model.vocabulary,
        text_encoder=model.text_encoder,
        generator=model.generator,
    )
    captions = tf.constant(["a red bird"])
    (z,) = sampling.noise(tf.constant([4], tf.int64), 8)
    expected = still.from_noise(captions, z, tf.zeros([1, 6]))
    found = still.outputs(["a red bird"], [4])
    np.testing.assert_allclose(
        found["images_16"], expected["images_16"], atol=1e-6
    )
    noisy = model.outputs(["a red bird"], [4])
    assert np.abs(found["images_16"] - noisy["images_16"]).max() > 1e-4


def test_interpolated_noise_lies_on_the_great_circle():
    """For lengths 2 and 3, and an angle of 60 degrees, by hand."""
    first, last = (
        np.float32([2, 0, 0]),
        np.float32([1.5, 1.5 * np.sqrt(3), 0]),
    )
    third = sampling.slerp(first, last, tf.constant(1 / 3)).numpy()
    # sin 40 / sin 60 of the first, sin 20 / sin 60 of the last.
    a, b = 0.7422271, 0.3949308
    np.testing.assert_allclose(third, a * first + b * last, rtol=1e-5)
    # Between vectors of the same length: equal angles, never shorter.
    unit = last / 3
    for fraction in np.linspace(0, 1, 7, dtype=np.float32):
        found = sampling.slerp(first / 2, unit, fraction).numpy()
        angle = np.pi / 3 * fraction
        expected = [np.cos(angle), np.sin(angle), 0]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("seeds", [(5, 6), (7, 7)])
def test_the_ends_of_interpolated_noise_are_exact(seeds):
    (both,) = sampling.noise(tf.constant(seeds, tf.int64), 100)
    for end, fraction in enumerate((0.0, 1.0)):
        found = sampling.slerp(both[0], both[1], tf.constant(fraction))
        np.testing.assert_array_equal(found, both[end])


ENDS = [
    (["a red bird", "a blue bird with white wings"], [5, 5]),
    (["a red bird", "a red bird"], [5, 6]),
]


def test_captions_are_interpolated_in_sentences_and_word_contexts(model):
    """Stage by stage, with interpolation by numpy."""
    captions, seeds, fraction = *ENDS[0], 0.3
    text, generator = model.encode_text(captions), model.generator
    z, eps = sampling.noise(tf.constant([5], tf.int64), 8, 6)
    sentences = text["sentence_features"]
    mu, logvar = generator.augmentation(
        (0.7 * sentences[0] + 0.3 * sentences[1])[None]
    )
    eps *= float(model.config.condition_noise)
    condition = mu + np.exp(logvar / 2) * eps
    h = generator.first(np.concatenate([condition, z], axis=-1))
    contexts, weights = generator.contexts[0](
        np.concatenate([h, h]), text["word_features"], text["lengths"]
    )
    context = 0.7 * contexts[:1] + 0.3 * contexts[1:]
    expected = np.concatenate([0.7 * weights[0], 0.3 * weights[1]], axis=-1)
    h = generator.stages[0](h, context)
    found = model.from_ends(
        tf.constant(captions),
        tf.constant(seeds, tf.int64),
        tf.constant(fraction),
    )
    np.testing.assert_allclose(
        found["images_16"], generator.heads["images_16"](h), atol=1e-5
    )
    weights = found["attention_16"][0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_z_and_eps_are_each_interpolated_spherically(model):
    captions, seeds = ENDS[1]
    ends = sampling.noise(tf.constant(seeds, tf.int64), 8, 6)
    half = []
    for first, last in (end.numpy().astype(float) for end in ends):
        cosine = first @ last / np.linalg.norm(first) / np.linalg.norm(last)
        # sin(x / 2) / sin(x) is 1 / (2 cos(x / 2)).
        half.append((first + last) / np.sqrt(2 + 2 * cosine))
    z, eps = (tf.constant(x[None], tf.float32) for x in half)
    eps *= float(model.config.condition_noise)
    expected = model.from_noise(tf.constant(captions[:1]), z, eps)
    found = model.from_ends(
        tf.constant(captions), tf.constant(seeds, tf.int64), tf.constant(0.5)
    )
    np.testing.assert_allclose(
        found["images_16"], expected["images_16"], atol=1e-5
    )


def test_scores_are_of_pairs(model):
    captions = ["a red bird", "a blue bird with white wings"]
    images = model.generate(captions)
    both = model.score(captions, images)
    alone = model.score(captions[1:], images[1:])
    for name in ("sentence_score", "word_score"):
        assert both[name].shape == (2,)
        np.testing.assert_allclose(both[name][1:], alone[name], atol=1e-5)
    assert np.abs(both["sentence_score"]).max() <= 1.0


@pytest.mark.parametrize("captions", [[None], ["a bird", 3], "a bird", b"a"])
def test_captions_must_be_a_list_of_strings(model, captions):
    for call in (model.generate, lambda x: model.score(x, [None])):
        with pytest.raises(UserError, match="must be a list of strings"):
            call(captions)


def test_images_to_score_must_have_8_bits(model):
    captions = ["a red bird"]
    images = model.generate(captions) / 255
    with pytest.raises(UserError, match=r"uint8.* received float64"):
        model.score(captions, images)


@pytest.mark.parametrize(
    ("captions", "notes"),
    [
        (["a red bird", "this bird has a white belly"], []),
        (
            ["a red Xylophone bird", "xylophone k\u00e4zoo"],
            ["not in the vocabulary: xylophone, k\u00e4zoo", "alone: 'xylo"],
        ),
        (
            ["\u043f\u0442\u0438\u0446\u0430"],
            ["lary: \u043f", "alone: '\u043f"],
        ),
        (["a red bird", ""], ["noise alone: ''"]),
        ([b"kazoo"], ["lary: kazoo", "alone: 'kazoo'"]),
        (["bird " * 26, "bird " * 25], ["the first 25 known words are us"]),
    ],
)
def test_what_a_model_ignores_is_reported(model, captions, notes):
    found = model.notes(captions)
    assert len(found) == len(notes)
    assert all(y in x for x, y in zip(found, notes, strict=True))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.generate(captions)
    assert [str(x.message) for x in caught] == found
