"""Contact sheets, and the attention figure of the paper (Fig. 4, Eq. 15).

Nothing here knows a model: arrays and words in, pictures out.
"""

import functools
import math
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from attngan_tf.visualization.lettering import WHITE, draw_text, text_size

GAP = 4  # pixels between pictures
CAPTION_WIDTH = 144  # least width of a captioned picture's column
SHEET_TILE = 128  # least size of a picture on a contact sheet, about
FIGURE_TILE = 192  # least size of a picture in the attention figure
DIM = 0.3  # share of the picture in an attention map; released: 75 / 255

# How far above 1 / T a weight must be, as a share of it, to be more than its
# equal part: a softmax over equal scores rounds by up to 2^-11 in float16.
EQUAL = 1e-3
# Released code: a standard deviation of 20 pixels on pictures of 256.
SIGMA = 20 / 256


def sheet_scale(size: int) -> int:
    """The factor that makes pictures of so many pixels about SHEET_TILE."""
    return max(1, SHEET_TILE // size)


def grid(
    images: np.ndarray,
    columns: int,
    captions: Sequence[str] | None = None,
    scale: int = 1,
    underlined: Sequence[Collection[int]] | None = None,
) -> Image.Image:
    """A contact sheet, filled row by row.

    Args:
      images: uint8 [N, H, W, 3].
      columns: pictures in a row.
      captions: None; or N, each set below its picture; or one a row, each set
        above its row. With one picture in a row, below it.
      scale: each pixel becomes scale x scale.
      underlined: for each caption, the places of its words, from 0, that are
        underlined (Fig. 5: those changed); None: no word.

    Raises:
      ValueError: no pictures, not uint8, columns or scale below 1, or another
        number of captions.
    """
    cells = _cells(images, columns, scale)
    columns = min(columns, len(cells))
    if captions is None:
        return _below(_rows(cells, columns))
    underlined = underlined or [()] * len(captions)
    texts = list(zip(captions, underlined, strict=True))
    if len(captions) == len(cells):
        return _below(_rows(_captioned(cells, texts, columns), columns))
    rows = _rows(cells, columns)
    if len(captions) != len(rows):
        raise ValueError(
            f"captions must be one a picture ({len(cells)}) or one a row "
            f"({len(rows)}). Received: {len(captions)}"
        )
    return _below(_titled(rows, texts))


def _cells(images, columns, scale) -> list[Image.Image]:
    """The pictures enlarged; raises ValueError as `grid` says."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ValueError(
            "images must be uint8 [N, H, W, 3] with N of 1 or more. "
            f"Received: {images.dtype} {images.shape}"
        )
    if columns < 1 or scale < 1:
        raise ValueError(
            "columns and scale must be 1 or more. "
            f"Received: columns {columns}, scale {scale}"
        )
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    return [Image.fromarray(image) for image in images]


def _rows(cells, columns) -> list[Image.Image]:
    starts = range(0, len(cells), columns)
    return [_beside(cells[start : start + columns]) for start in starts]


def _captioned(cells, texts, columns) -> list[Image.Image]:
    """Each picture with its caption below, in columns wide enough to read."""
    width = max(cells[0].width, CAPTION_WIDTH)
    size = text_size(width * columns)
    labels = [draw_text(c, width, size, underlined=u) for c, u in texts]
    return [
        _below([cell, label], centred=True)
        for cell, label in zip(cells, labels, strict=True)
    ]


def _titled(rows, texts) -> list[Image.Image]:
    """Each row below its caption."""
    width = max(rows[0].width, CAPTION_WIDTH)
    size = text_size(width)
    titles = [draw_text(c, width, size, underlined=u) for c, u in texts]
    return [
        _below([title, row]) for title, row in zip(titles, rows, strict=True)
    ]


def suppress(weights: np.ndarray, length: int) -> np.ndarray:
    """Eq. 15: a word's weight counts where it is above an equal share, 1/T.

    Elsewhere it becomes 0, and so do padding's weights and NaN. A caption of
    one word is suppressed everywhere: its weight, 1, is its equal share.
    (Released code: 2/T.)

    Args:
      weights: [h, w, T], the attention of each sub-region to each word (Eq. 2).
      length: the caption's true number of words, 1 to T.

    Returns:
      float32 [h, w, T].

    Raises:
      ValueError: the length is not from 1 to T.
    """
    weights = np.nan_to_num(np.asarray(weights, np.float32), copy=True)
    T = weights.shape[-1]
    if not 1 <= length <= T:
        raise ValueError(f"length must be 1 to T = {T}. Received: {length}")
    weights[..., length:] = 0
    weights[weights <= (1 + EQUAL) / length] = 0
    return weights


def top_words(weights: np.ndarray, length: int, k: int = 5) -> list[int]:
    """Places of the k most attended words, most attended first.

    Args:
      weights: [h, w, T], those of `suppress`; summed over the sub-regions.
      length: the true number of words: padding is never chosen.
      k: how many; fewer when the caption has fewer words.
    """
    sums = np.sum(weights, axis=(0, 1), dtype=np.float64)[:length]
    return np.argsort(-sums, kind="stable")[:k].tolist()


def upsample(attention: np.ndarray, size: int) -> np.ndarray:
    """One word's attention as a smooth picture, its largest value 1.

    Each cell becomes a block of pixels; a Gaussian makes the blocks smooth. Its
    standard deviation is the released code's, or the side of a cell where the
    map is so coarse that its cells would show. Zero means suppressed, so the
    smallest value is not moved to 0, and a map of zeros stays one.

    Args:
      attention: [h, w], 0 or more.
      size: pixels of a side of the result.

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
    """Blurs [H, W] by a Gaussian of sigma pixels, above 0; float64.

    What falls off an edge is mirrored: the sum stays, and so does a constant.
    """
    H, W = array.shape
    return _blur_matrix(H, sigma) @ array @ _blur_matrix(W, sigma).T


@functools.lru_cache(maxsize=8)
def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    """[size, size]: row i holds the weights of the pixels around pixel i."""
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
    """The paper's Fig. 4: what each attention stage attended to.

    The caption; the pictures of all stages, enlarged to the last one's size;
    and a row for each attention stage: its five most attended words, the most
    attended first, each as light on the darkened last picture. Each map is as
    bright as its own largest value lets it be.

    Args:
      stage_images: uint8 [H_i, W_i, 3], first stage first, square.
      attention_maps: [h, w, T], one an attention stage (Eq. 2's beta).
      words: the caption's words, padding left out; their number is Eq. 15's T.

    Raises:
      ValueError: no words, or more than the maps have.
    """
    last = stage_images[-1].shape[0]
    size = last * math.ceil(FIGURE_TILE / last)
    pictures = [_resized(image, size) for image in stage_images]
    labels = [f"{image.shape[1]} x {image.shape[0]}" for image in stage_images]
    rows = [_labelled_row("pictures", pictures, labels)]
    for stage, weights in enumerate(attention_maps, start=1):
        weights = suppress(weights, len(words))
        top = top_words(weights, len(words))
        tiles = [_lit(pictures[-1], weights[..., word]) for word in top]
        labels = [f"{word}:{words[word]}" for word in top]
        rows.append(_labelled_row(f"attention {stage}", tiles, labels))
    width = max(row.width for row in rows)
    return _below([draw_text(" ".join(words), width, size // 10), *rows])


def _labelled_row(name, pictures, labels) -> Image.Image:
    """Pictures side by side, each over its label; the row's name, upright."""
    size = pictures[0].width
    cells = [
        _below([picture, _label(label, size)])
        for picture, label in zip(pictures, labels, strict=True)
    ]
    side = _label(name, size).transpose(Image.Transpose.ROTATE_90)
    return _beside([side, *cells])


def _label(text: str, size: int) -> Image.Image:
    """One line for a picture of this size."""
    return draw_text(text, size, size // 10, centred=True, most_lines=1)


def _lit(picture: Image.Image, attention: np.ndarray) -> Image.Image:
    """The darkened picture, with light where the attention is."""
    light = upsample(attention, picture.width)[..., None]
    blend = DIM * np.asarray(picture) + (1 - DIM) * 255 * light
    return Image.fromarray(np.rint(blend).astype(np.uint8))


def _resized(image: np.ndarray, size: int) -> Image.Image:
    return Image.fromarray(image).resize(
        (size, size), Image.Resampling.BILINEAR
    )


def _beside(parts: Sequence[Image.Image]) -> Image.Image:
    """Pictures from left to right on white, tops in line."""
    width = sum(part.width + GAP for part in parts) - GAP
    canvas = Image.new("RGB", (width, max(p.height for p in parts)), WHITE)
    x = 0
    for part in parts:
        canvas.paste(part, (x, 0))
        x += part.width + GAP
    return canvas


def _below(parts: Sequence[Image.Image], centred: bool = False) -> Image.Image:
    """Pictures from top to bottom on white, left sides (or centres) in line."""
    height = sum(part.height + GAP for part in parts) - GAP
    canvas = Image.new("RGB", (max(p.width for p in parts), height), WHITE)
    y = 0
    for part in parts:
        canvas.paste(part, ((canvas.width - part.width) // 2 * centred, y))
        y += part.height + GAP
    return canvas
