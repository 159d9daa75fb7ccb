"""Contact sheets, and the attention figure of the paper (Fig. 4, Eq. 15).

The functions take arrays and words, not models, and return images.
"""

import functools
import math
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from attngan_tf.visualization.lettering import WHITE, render_text, text_size

GAP = 4  # pixels between images
CAPTION_WIDTH = 144  # minimum width of a column with captions
SHEET_TILE = 128  # approximate minimum size of an image on a contact sheet
FIGURE_TILE = 192  # minimum size of an image in the attention figure
DIM = 0.3  # alpha of the image below an attention map; released: 75 / 255

# Relative margin by which a weight must exceed 1 / T: a softmax over equal
# scores has rounding errors of up to 2^-11 in float16.
EQUAL = 1e-3
# Released code: a standard deviation of 20 pixels on images of 256.
SIGMA = 20 / 256


def grid(
    images: np.ndarray,
    columns: int,
    captions: Sequence[str],
    underlined: Sequence[Collection[int]] | None = None,
) -> Image.Image:
    """A contact sheet, filled row by row; small images are enlarged.

    Args:
      images: uint8 [N, H, W, 3].
      columns: images in a row.
      captions: N captions, each placed below its image; or one caption for
        each row, placed above it. With one column, below the image.
      underlined: for each caption, the indices of the words to underline
        (in Fig. 5, those that changed); None: no words.

    Raises:
      ValueError: the number of captions does not fit the images.
    """
    scale = max(1, SHEET_TILE // images.shape[1])
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    cells = [Image.fromarray(image) for image in images]
    columns = min(columns, len(cells))
    texts = list(zip(captions, underlined or [()] * len(captions), strict=True))
    if len(captions) == len(cells):
        # Columns of narrow images are widened, so that captions are legible.
        labels = _captions(texts, cells[0].width, columns)
        pairs = zip(cells, labels, strict=True)
        return _below(_rows([_below(x, centred=True) for x in pairs], columns))
    rows = _rows(cells, columns)
    titles = _captions(texts, rows[0].width)
    return _below([_below(x) for x in zip(titles, rows, strict=True)])


def _rows(cells, columns) -> list[Image.Image]:
    starts = range(0, len(cells), columns)
    return [_beside(cells[start : start + columns]) for start in starts]


def _captions(texts, width, columns=1) -> list[Image.Image]:
    """Captions with their underlined words, for columns of a width or more."""
    width = max(width, CAPTION_WIDTH)
    size = text_size(width * columns)
    return [render_text(c, width, size, underlined=u) for c, u in texts]


def suppress(weights: np.ndarray, length: int) -> np.ndarray:
    """Eq. 15: sets weights to 0 unless they are above 1/T, the uniform weight.

    The weights of padding and NaN become 0 as well. A caption of one word is
    suppressed everywhere, since its weight is 1 = 1/T. Released code: 2/T.

    Args:
      weights: [h, w, T], the attention of each sub-region to each word (Eq. 2).
      length: the caption's true number of words, 1 to T.

    Returns:
      float32 [h, w, T].
    """
    weights = np.nan_to_num(np.asarray(weights, np.float32), copy=True)
    weights[..., length:] = 0
    weights[weights <= (1 + EQUAL) / length] = 0
    return weights


def top_words(weights: np.ndarray, length: int, k: int = 5) -> list[int]:
    """Indices of the k most attended words, most attended first.

    Args:
      weights: [h, w, T], from `suppress`; they are summed over sub-regions.
      length: the caption's true number of words; padding is never chosen.
      k: number of words; shorter captions have fewer.
    """
    sums = np.sum(weights, axis=(0, 1), dtype=np.float64)[:length]
    return np.argsort(-sums, kind="stable")[:k].tolist()


def upsample(attention: np.ndarray, size: int) -> np.ndarray:
    """One word's attention as a smooth map whose largest value is 1.

    Each cell becomes a block of pixels, and a Gaussian smooths the blocks. Its
    standard deviation is the released code's, or the side of a cell if the map
    is so coarse that its cells would be visible. Values are not shifted: zero
    means suppressed, and a map of zeros remains zero.

    Args:
      attention: [h, w], 0 or more.
      size: side of the result, in pixels.

    Returns:
      float32 [size, size] in [0, 1].
    """
    h, w = attention.shape
    rows = np.arange(size) * h // size
    columns = np.arange(size) * w // size
    sigma = size * max(SIGMA, 1 / h, 1 / w)
    smooth = gaussian_blur(attention[np.ix_(rows, columns)], sigma)
    return (smooth / max(smooth.max(), 1e-12)).astype(np.float32)


def gaussian_blur(array: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs [H, W] with a Gaussian of sigma > 0 pixels; float64.

    The edges are mirrored, which preserves the sum, and constant arrays.
    """
    H, W = array.shape
    return _blur_matrix(H, sigma) @ array @ _blur_matrix(W, sigma).T


@functools.lru_cache(maxsize=8)
def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    """[size, size]: row i has the weights of the pixels around pixel i."""
    reach = math.ceil(4 * sigma)
    offset = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    mirrored = np.pad(np.arange(size), reach, mode="symmetric")
    matrix = np.zeros((size, size))
    for i in range(size):
        np.add.at(matrix[i], mirrored[i : i + len(kernel)], kernel)
    return matrix / kernel.sum()


def attention_figure(
    stage_images: Sequence[np.ndarray],
    attention_maps: Sequence[np.ndarray],
    words: Sequence[str],
) -> Image.Image:
    """The paper's Fig. 4: the words that each attention stage attends to.

    It shows the caption; the images of all stages, enlarged to the size of the
    last; and a row for each attention stage with its five most attended words,
    most attended first. Their attention is shown as light on the darkened last
    image; each map is scaled to its own largest value.

    Args:
      stage_images: uint8 [H_i, W_i, 3], first stage first, square.
      attention_maps: [h, w, T], one for each attention stage (Eq. 2's beta).
      words: the caption's words without padding; their number is Eq. 15's T.
    """
    last = stage_images[-1].shape[0]
    size = last * math.ceil(FIGURE_TILE / last)
    images = [_resized(image, size) for image in stage_images]
    labels = [f"{image.shape[1]} x {image.shape[0]}" for image in stage_images]
    rows = [_labelled_row("images", images, labels)]
    for stage, weights in enumerate(attention_maps, start=1):
        weights = suppress(weights, len(words))
        top = top_words(weights, len(words))
        tiles = [_lit(images[-1], weights[..., word]) for word in top]
        labels = [f"{word}:{words[word]}" for word in top]
        rows.append(_labelled_row(f"attention {stage}", tiles, labels))
    width = max(row.width for row in rows)
    return _below([render_text(" ".join(words), width, size // 10), *rows])


def _labelled_row(name, images, labels) -> Image.Image:
    """Images side by side above their labels, after the row's upright name."""
    size = images[0].width
    cells = [
        _below([image, _label(label, size)])
        for image, label in zip(images, labels, strict=True)
    ]
    side = _label(name, size).transpose(Image.Transpose.ROTATE_90)
    return _beside([side, *cells])


def _label(text: str, size: int) -> Image.Image:
    """One line of text for an image of this size."""
    return render_text(text, size, size // 10, centred=True, max_lines=1)


def _lit(image: Image.Image, attention: np.ndarray) -> Image.Image:
    """The darkened image, lit where the attention is."""
    light = upsample(attention, image.width)[..., None]
    blend = DIM * np.asarray(image) + (1 - DIM) * 255 * light
    return Image.fromarray(np.rint(blend).astype(np.uint8))


def _resized(image: np.ndarray, size: int) -> Image.Image:
    return Image.fromarray(image).resize(
        (size, size), Image.Resampling.BILINEAR
    )


def _beside(parts: Sequence[Image.Image]) -> Image.Image:
    """Images from left to right on white, aligned at the top."""
    width = sum(part.width + GAP for part in parts) - GAP
    canvas = Image.new("RGB", (width, max(p.height for p in parts)), WHITE)
    x = 0
    for part in parts:
        canvas.paste(part, (x, 0))
        x += part.width + GAP
    return canvas


def _below(parts: Sequence[Image.Image], centred: bool = False) -> Image.Image:
    """Images from top to bottom on white, aligned at the left or centred."""
    height = sum(part.height + GAP for part in parts) - GAP
    canvas = Image.new("RGB", (max(p.width for p in parts), height), WHITE)
    y = 0
    for part in parts:
        canvas.paste(part, ((canvas.width - part.width) // 2 * centred, y))
        y += part.height + GAP
    return canvas
