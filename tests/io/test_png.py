"""Texts in PNG files, read by PIL."""

import pytest
from PIL import Image

from attngan_tf import __version__
from attngan_tf.io import png


def saved(tmp_path, **texts):
    path = tmp_path / "image.png"
    png.save(Image.new("RGB", (3, 2), (1, 2, 3)), str(path), **texts)
    return path


def test_texts_are_read_by_pil(tmp_path):
    path = saved(tmp_path, caption="a red bird", seed=2**53, step=600)
    with Image.open(path) as image:
        assert image.text == {
            "Software": f"attngan_tf {__version__}",
            "caption": "a red bird",
            "seed": "9007199254740992",
            "step": "600",
        }
        assert image.getpixel((2, 1)) == (1, 2, 3)


@pytest.mark.parametrize(
    "caption",
    [
        *["caf\u00e9", "\u9ce5 \U0001f426", "\u0637\u0627\u0626\u0631"],
        *["", "two\nlines", pytest.param("bird " * 300_000, id="1.5 MB")],
    ],
)
def test_captions_of_any_language_are_stored(tmp_path, caption):
    path = saved(tmp_path, caption=caption)
    with Image.open(path) as image:
        assert image.text["caption"] == caption


def test_each_of_several_values_is_a_line(tmp_path):
    captions = ["a  red\nbird", "\u9ce5"]
    with Image.open(saved(tmp_path, caption=captions, seed=range(2))) as image:
        assert image.text["caption"] == "a red bird\n\u9ce5"
        assert image.text["seed"] == "0\n1"


def test_invalid_unicode_is_replaced(tmp_path):
    with Image.open(saved(tmp_path, caption="a \ud800 bird")) as image:
        assert image.text["caption"] == "a ? bird"
