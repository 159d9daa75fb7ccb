"""Tests of the colour metric on images of the demo data set."""

import numpy as np
import pytest
from PIL import Image

from attngan_tf.data.demo import builder
from attngan_tf.data.demo.drawing import GROUNDS
from attngan_tf.evaluation.metrics import colour

NAMES = list(builder.PALETTE)
COUNT = 110  # images: 10 of each colour


@pytest.fixture(scope="module")
def birds(render_bird):
    """Birds of one colour each, in all poses, on all backgrounds."""
    asked = [NAMES[index % len(NAMES)] for index in range(COUNT)]
    images = []
    for index, name in enumerate(asked):
        rng = np.random.default_rng([11, index])
        fields = {"size": rng.random(), "ground": GROUNDS[index % len(GROUNDS)]}
        images.append(render_bird(name, index, rng, **fields))
    return np.stack(images), asked


def resized(images, side):
    return np.stack(
        [
            np.asarray(Image.fromarray(i).resize((side, side), Image.BOX))
            for i in images
        ]
    )


@pytest.mark.parametrize("side", [32, 128])
def test_finds_the_colour_of_rendered_birds(birds, side):
    images, asked = birds
    images = resized(images, side)
    assert colour.colour_accuracy(images, asked, builder.PALETTE) >= 0.97
    shifted = asked[1:] + asked[:1]
    assert colour.colour_accuracy(images, shifted, builder.PALETTE) <= 0.03


def test_an_image_does_not_depend_on_the_others(birds):
    images = birds[0][:70]  # more than one chunk
    alone = np.concatenate(
        [colour.mean_colours(image[None]) for image in images]
    )
    np.testing.assert_array_equal(colour.mean_colours(images), alone)


def test_found_pixels_are_the_birds(render_bird):
    """The truth is what changes with the bird's colour."""
    for index in range(10):
        versions = [
            render_bird(name, index, ground="meadow").reduce(4)
            for name in ("red", "blue")
        ]
        red, blue = (np.asarray(image, np.float64) for image in versions)
        truth = np.abs(red - blue).max(axis=-1) > 60
        _, found = colour.bird_pixels(red[None].astype(np.uint8))
        assert (found[0] & ~truth).sum() <= 0.12 * truth.sum()
        assert (found[0] & truth).sum() >= 0.5 * truth.sum()


def squares(*parts, side=32):
    """A grey image with squares: (top, left, size, RGB)."""
    image = np.full((1, side, side, 3), 180, np.uint8)
    for top, left, size, rgb in parts:
        image[0, top : top + size, left : left + size] = rgb
    return image


def test_the_central_component_is_the_bird():
    red, blue = (200, 30, 30), (30, 30, 200)
    image = squares((12, 12, 8, red), (2, 2, 9, blue))
    np.testing.assert_allclose(colour.mean_colours(image), [red])
    touching = squares((12, 12, 8, red), (4, 4, 7, blue))  # only at a corner
    np.testing.assert_allclose(colour.mean_colours(touching), [red])


def test_a_bird_may_cross_the_border():
    red = (200, 30, 30)
    image = squares((10, 10, 12, red))
    image[0, 14:16, 22:] = red  # a tail that crosses the border: 2 of 124
    assert colour.colour_accuracy(image, ["red"], builder.PALETTE) == 1


def test_images_without_a_bird_are_wrong():
    empty = squares()
    assert np.isnan(colour.mean_colours(empty)).all()
    for name in NAMES:
        assert colour.colour_accuracy(empty, [name], builder.PALETTE) == 0


def test_lab_of_known_colours():
    """Published values of the sRGB primaries (D65, 2 degrees)."""
    rgb = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]
    known = [
        (53.24, 80.09, 67.20),
        (87.73, -86.18, 83.18),
        (32.30, 79.19, -107.86),
        (100.0, 0.0, 0.0),
        (0.0, 0.0, 0.0),
    ]
    lab = colour.rgb_to_lab(np.array(rgb))
    np.testing.assert_allclose(lab, known, atol=0.02)
