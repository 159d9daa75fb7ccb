"""The exported signatures: what they return, and what they refuse."""

import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from attngan_tf.sampling import to_uint8
from tests.data import helpers

CAPTIONS = ["a red bird", "", "zzz qqq", "\u9ce5 \U0001f426", "a bird " * 400]
SEEDS = [0, 1, 2, 2**52, -3]


def pixels(encoded) -> np.ndarray:
    images = [np.asarray(Image.open(io.BytesIO(x))) for x in encoded]
    return np.stack(images).astype(int)


def test_images_are_those_of_the_workdir(generator, model):
    outputs = model.outputs(CAPTIONS, SEEDS)
    images = to_uint8(outputs["images_16"]).numpy()
    inputs = {"captions": CAPTIONS, "seeds": SEEDS}
    found = generator.run("generate", **inputs)["images"]
    np.testing.assert_allclose(found.astype(int), images, atol=1)
    for name in ("generate_png", "generate_with_attention"):
        found = generator.run(name, **inputs)
        shown = pixels(found["image_bytes"])
        np.testing.assert_allclose(shown, images, atol=1)
    for name in ("attention_16", "lengths"):
        np.testing.assert_allclose(found[name], outputs[name], atol=1e-4)
    found = generator.run("serving_default", captions=CAPTIONS)
    shown = pixels(found["image_bytes"])
    np.testing.assert_allclose(shown, model.images(CAPTIONS), atol=1)


def test_noise_and_text_features_are_those_of_the_workdir(generator, model):
    rng = np.random.default_rng(0)
    z, eps = (rng.standard_normal([5, n], np.float32) for n in (8, 6))
    found = generator.run(
        "generate_from_noise", captions=CAPTIONS, z=z, eps=eps
    )
    expected = model.from_noise(tf.constant(CAPTIONS), z, eps)
    assert set(found) == {"images_8", "images_16"}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4)
    found = generator.run("encode_text", captions=CAPTIONS)
    for name, value in model.encode_text(CAPTIONS).items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)


def test_scores_and_image_features_are_those_of_the_workdir(damsm, model):
    images = np.random.default_rng(0).integers(0, 256, [3, 64, 96, 3], np.uint8)
    encoded = [helpers.encoded(image, "PNG") for image in images]
    squares = images[:, :, 16:80]
    found = damsm.run("match", captions=CAPTIONS[:3], image_bytes=encoded)
    expected = model.score(CAPTIONS[:3], squares)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)
    found = damsm.run("encode_image", image_bytes=encoded)
    expected = model.image_encoder(squares / np.float32(127.5) - 1)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)


def test_tokens_are_the_used_words(generator, model):
    captions = np.array(["A RED bird, zzz!", "", "bird " * 99], object)
    found = generator.run(
        "generate_with_attention", captions=captions, seeds=[1, 2, 3]
    )
    lengths = found["lengths"]
    words = [
        [token.decode() for token in row[:length]]
        for row, length in zip(found["tokens"], lengths, strict=True)
    ]
    assert words[1] == ["<end>"]
    assert words[2] == ["bird"] * model.words_num
    assert [w for w in ("a", "red", "bird") if w in words[0]] == words[0]
    assert not b"".join(found["tokens"][0, lengths[0] :])


def test_a_row_does_not_depend_on_its_batch(generator):
    captions = np.array([f"a red bird {'and wings ' * n}" for n in range(8)])
    noise = np.random.default_rng(0)
    z = noise.standard_normal([8, 8], np.float32)
    eps = noise.standard_normal([8, 6], np.float32)

    def images(rows):
        inputs = {"captions": captions[rows], "z": z[rows], "eps": eps[rows]}
        return generator.run("generate_from_noise", **inputs)["images_16"]

    together = images(slice(8))
    for row in range(8):
        alone = images([row])[0]
        np.testing.assert_allclose(alone, together[row], atol=1e-5)
    others = images([3, 1, 4, 1, 5, 2, 6, 5])
    np.testing.assert_allclose(others[:2], together[[3, 1]], atol=1e-5)


@settings(max_examples=60, deadline=None)
@example(b"bird " * 200_000, 0)
@given(
    st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    st.integers(-(2**63), 2**63 - 1),
)
def test_any_caption_and_seed_give_an_image(generator, caption, seed):
    captions = np.array([caption], object)
    found = generator.run("generate_png", captions=captions, seeds=[seed])
    assert pixels(found["image_bytes"]).shape == (1, 16, 16, 3)


ROWS = {
    "captions": ["a red bird"] * 2,
    "image_bytes": [b"not an image"] * 2,
    "seeds": [0, 0],
    "z": np.zeros([2, 8]),
    "eps": np.zeros([2, 6]),
}


def refusal(loaded, signature, counts) -> str:
    """The error for inputs with these numbers of rows."""
    inputs = {name: ROWS[name][:count] for name, count in counts.items()}
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        loaded.run(signature, **inputs)
    return str(raised.value)


def test_unequal_numbers_of_rows_fail_in_every_signature(generator, damsm):
    checked = set()
    for loaded in (generator, damsm):
        for name, signature in loaded.signatures.items():
            names = list(signature.inputs)
            for counts in itertools.product((1, 2), repeat=len(names)):
                if len(set(counts)) > 1:
                    checked.add(name)
                    rows = dict(zip(names, counts, strict=True))
                    assert "must have equal numbers of rows; received [" in (
                        refusal(loaded, name, rows)
                    )
    assert checked >= {"generate", "generate_png", "match"}
