"""Contact sheets and Fig. 4: pixels at known positions, sums, order."""

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from attngan_tf.visualization import figures

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour, size=8):
    return np.broadcast_to(np.uint8(colour), (size, size, 3))


def ink(image: Image.Image) -> int:
    """The number of pixels darker than grey, as letters are."""
    return int((np.asarray(image.convert("L")) < 128).sum())


@pytest.fixture
def rendered(monkeypatch):
    """The texts rendered so far, as (text, size, underlined words)."""
    texts = []
    original = figures.render_text

    def spy(text, width, size, **options):
        texts.append((text, size, options.get("underlined")))
        return original(text, width, size, **options)

    monkeypatch.setattr(figures, "render_text", spy)
    return texts


def test_grid_fills_row_by_row_with_captions_below():
    images = np.stack([plain(colour, 160) for colour in (RED, GREEN, BLUE)])
    sheet = figures.grid(images, 2, ["", "a red square", ""])
    pixels = np.asarray(sheet)
    assert sheet.width == 160 + 4 + 160
    second = (sheet.height + 4) // 2  # where the second row starts
    np.testing.assert_array_equal(pixels[:160, :160], images[0])
    np.testing.assert_array_equal(pixels[:160, 164:], images[1])
    np.testing.assert_array_equal(pixels[second:][:160, :160], images[2])
    assert (pixels[second:, 160:] == 255).all()  # no fourth image
    assert ink(sheet.crop((0, 164, 160, second))) == 0
    assert ink(sheet.crop((164, 164, sheet.width, second))) > 100


@pytest.mark.parametrize(
    ("size", "side"), [(8, 128), (64, 128), (100, 100), (512, 512)]
)
def test_small_images_are_enlarged(size, side):
    sheet = figures.grid(np.stack([plain(RED, size)] * 3), 5, [""])
    assert sheet.width == 3 * side + 2 * 4
    assert (np.asarray(sheet) == RED).all(axis=2).sum() == 3 * side**2


def test_columns_of_captioned_images_are_wide_enough_to_read():
    images = np.stack([plain(RED, 16)] * 3)
    sheet = figures.grid(images, 3, ["the bird is red"] * 3)
    width = figures.CAPTION_WIDTH
    assert sheet.width == 3 * width + 2 * 4
    red = np.flatnonzero((np.asarray(sheet)[8] == RED).all(axis=1))
    assert red[0] == (width - 128) // 2  # centred
    assert red[128] - red[0] == width + 4


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_words_of_captions_are_underlined(rendered, columns):
    """Below one image in a row, above rows, and below each image."""
    captions = ["a red bird", "a blue bird"]
    images = np.stack([plain(RED)] * (4 if columns == 2 else 2))
    figures.grid(images, columns, captions, [{1}, {0, 2}])
    found = [(text, underlined) for text, _, underlined in rendered]
    assert found == list(zip(captions, [{1}, {0, 2}], strict=True))


def test_suppress_by_hand():
    # T = 4 true words of 5: weights that are not above 0.25 become 0.
    weights = np.array([[[0.25, 0.3, 0.2, 0.25, 0.0], [0.7, 0.1, 0.1, 0.1, 0]]])
    expected = [[[0, 0.3, 0, 0, 0], [0.7, 0, 0, 0, 0]]]
    result = figures.suppress(weights, 4)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    # With five true words the threshold is 0.2.
    assert figures.suppress(weights, 5)[0, 0, 0] == 0.25
    assert weights[0, 0, 2] == 0.2  # the argument is not changed
    padded = np.array([[[0.9, np.nan, 0.9, 0.9]]])
    result = figures.suppress(padded, 2)[0, 0]
    np.testing.assert_allclose(result, [0.9, 0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equal_attention_is_suppressed_in_any_precision(dtype):
    for length in range(1, 26):
        weights = np.zeros([2, 2, 26], dtype)
        weights[..., :length] = dtype(1) / dtype(length)
        assert not figures.suppress(weights, length).any()


def test_top_words_by_sum_not_by_maximum():
    weights = np.zeros([2, 2, 7])
    weights[0, 0, 1] = 0.9  # the largest weight, but a sum of 0.9
    weights[:, :, 3] = 0.4  # a sum of 1.6
    weights[:, 0, 0] = 0.5  # 1.0
    weights[:, :, 6] = 1  # padding
    assert figures.top_words(weights, 5, k=3) == [3, 0, 1]
    # Words without attention follow in the caption's order.
    assert figures.top_words(weights, 5) == [3, 0, 1, 2, 4]
    assert figures.top_words(weights, 2) == [0, 1]


@pytest.mark.parametrize("sigma", [1, 3, 40])
def test_blur_equals_scipys(sigma):
    array = np.random.default_rng(0).uniform(size=(20, 31))
    array[0, 0] = 50  # much of it is mirrored at two edges
    expected = scipy.ndimage.gaussian_filter(array, sigma, mode="reflect")
    np.testing.assert_allclose(figures.gaussian_blur(array, sigma), expected)


def test_upsample_puts_the_peak_over_its_cell():
    attention = np.zeros((16, 16))
    attention[3, 12] = 0.2
    light = figures.upsample(attention, 256)
    assert light.dtype == np.float32
    pixels = np.kron(attention, np.ones((16, 16)))
    blurred = scipy.ndimage.gaussian_filter(pixels, 20)
    np.testing.assert_allclose(light, blurred / blurred.max(), atol=1e-5)


def test_upsample_smooths_coarse_maps_and_preserves_levels():
    chessboard = np.indices((4, 4)).sum(axis=0) % 2
    light = figures.upsample(chessboard, 192)
    assert np.abs(np.diff(light, axis=1)).max() < 0.02
    assert (figures.upsample(np.zeros((8, 8)), 64) == 0).all()
    # Equal attention everywhere is light everywhere, not dark.
    full = figures.upsample(np.full((8, 8), 0.5), 64)
    np.testing.assert_allclose(full, 1, rtol=1e-6)


def quarter_maps(size, T, words):
    """[size, size, T]: each word is attended in one quarter, later ones more.

    Word i's quarter is row i % 2, column i // 2 % 2.
    """
    weights = np.full((size, size, T), 0.01)
    half = size // 2
    for word in range(words):
        y, x = word % 2 * half, word // 2 % 2 * half
        weights[y : y + half, x : x + half, word] = 0.5 + word / 100
    return weights


def example_figure(last, words, T=9):
    """Three stages, in red, green and blue, and two attention stages.

    In the second, the words are in the opposite order.
    """
    first, second = (quarter_maps(last // s, T, len(words)) for s in (4, 2))
    second[..., : len(words)] = second[..., len(words) - 1 :: -1].copy()
    return figures.attention_figure(
        [plain(RED, last // 4), plain(GREEN, last // 2), plain(BLUE, last)],
        [first, second],
        words,
    )


def tile_of(sheet, tile, row, column, columns=5):
    """The image in a row (0 is the last, counted upwards) and a column."""
    pixels = np.asarray(sheet)
    height = tile + 4 + figures._label("x", tile).height
    top = sheet.height - (row + 1) * (height + 4) + 4
    left = sheet.width - (columns - column) * (tile + 4) + 4
    return pixels[top : top + tile, left : left + tile].astype(int)


SIX = ["this", "bird", "is", "all", "blue", "now"]


# The last image's size, and its size after enlarging.
@pytest.mark.parametrize(("last", "tile"), [(32, 192), (128, 256), (256, 256)])
def test_attention_figure(rendered, last, tile):
    sheet = example_figure(last, SIX)
    sizes = [f"{s} x {s}" for s in (last // 4, last // 2, last)]
    assert [text for text, *_ in rendered] == [
        *[*sizes, "images"],
        *["5:now", "4:blue", "3:all", "2:is", "1:bird", "attention 1"],
        *["0:this", "1:bird", "2:is", "3:all", "4:blue", "attention 2"],
        "this bird is all blue now",
    ]
    assert {size for _, size, _ in rendered} == {tile // 10}
    for column, colour in enumerate((RED, GREEN, BLUE)):
        assert (tile_of(sheet, tile, 2, column) == colour).all()
    assert (tile_of(sheet, tile, 2, 3) == 255).all()  # no fourth stage
    # Column c shows the quarter of word 5 - c in both rows.
    for row in (0, 1):
        for column, word in enumerate((5, 4, 3, 2, 1)):
            block = tile_of(sheet, tile, row, column)
            corners = {(y, x): block[-y, -x] for y in (0, 1) for x in (0, 1)}
            lit = corners.pop((word % 2, word // 2 % 2))
            # 30 % of blue, and 70 % of white where the attention is.
            np.testing.assert_allclose(lit, (178, 178, 255), atol=2)
            dark = list(corners.values())
            np.testing.assert_allclose(dark, [(0, 0, 76)] * 3, atol=2)
