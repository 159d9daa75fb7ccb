"""Contact sheets, and the attention figure of the paper (Fig. 4, Eq. 15).

Nothing here knows a model: arrays and words in, pictures out.
"""

import functools
import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
GAP = 4  # pixels between pictures, and beside text
CAPTION_LINES = 12  # a longer caption ends in an ellipsis
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
) -> Image.Image:
    """A contact sheet, filled row by row.

    Args:
      images: uint8 [N, H, W, 3].
      columns: pictures in a row.
      captions: None; or N, each set below its picture; or one a row, each set
        above its row. With one picture in a row, below it.
      scale: each pixel becomes scale x scale.

    Raises:
      ValueError: no pictures, not uint8, columns or scale below 1, or another
        number of captions.
    """
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
    cells = [Image.fromarray(image) for image in images]
    if captions is not None and len(captions) == len(cells):
        cells, captions = _captioned(cells, captions, columns), None
    rows = [
        _beside(cells[start : start + columns])
        for start in range(0, len(cells), columns)
    ]
    if captions is not None and len(captions) != len(rows):
        raise ValueError(
            f"captions must be one a picture ({len(cells)}) or one a row "
            f"({len(rows)}). Received: {len(captions)}"
        )
    if captions is not None:
        width = max(rows[0].width, CAPTION_WIDTH)
        size = _text_size(width)
        rows = [
            _below([_text(caption, width, size), row])
            for caption, row in zip(captions, rows, strict=True)
        ]
    return _below(rows)


def _captioned(cells, captions, columns) -> list[Image.Image]:
    """Each picture with its caption below, in columns wide enough to read."""
    width = max(cells[0].width, CAPTION_WIDTH)
    size = _text_size(width * min(columns, len(cells)))
    return [
        _below([cell, _text(caption, width, size)], centred=True)
        for cell, caption in zip(cells, captions, strict=True)
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
    return _below([_text(" ".join(words), width, size // 10), *rows])


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
    return _text(text, size, size // 10, centred=True, most_lines=1)


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


def _text(
    text: str,
    width: int,
    size: int,
    centred: bool = False,
    most_lines: int = CAPTION_LINES,
) -> Image.Image:
    """Text wrapped to a width in pixels, black on white."""
    font = _font(size)
    text = " ".join(text.split())[: most_lines * width]  # of 1 MB, what fits
    room = width - 2 * GAP
    lines = _wrapped(_drawable(text, font), room, font, most_lines)
    height, margin = sum(font.getmetrics()), size // 4
    canvas = Image.new("RGB", (width, height * len(lines) + 2 * margin), WHITE)
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        left = (room - font.getlength(line)) / 2 if centred else 0
        place = (GAP + left, margin + row * height)
        draw.text(place, line, fill=BLACK, font=font)
    return canvas


def _text_size(width: int) -> int:
    """Pixels of a letter on a sheet this wide: about 60 letters a line.

    A phone shows a sheet of any width about 360 points wide.
    """
    return min(max(width // 30, 13), 28)


@functools.lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _drawable(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text with accents dropped, and "?" for what the font has not."""
    missing = bytes(font.getmask("\uffff"))
    letters = [
        letter
        for letter in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(letter)
    ]
    return "".join(
        letter
        if letter == " " or bytes(font.getmask(letter)) != missing
        else "?"
        for letter in letters
    )


def _wrapped(text, width, font, most_lines) -> list[str]:
    """Lines that fit the width; words wider than a line are broken."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
        if len(lines) > most_lines:
            break
    if len(lines) <= most_lines:
        return lines
    last = lines[most_lines - 1]
    while last and font.getlength(last + "\u2026") > width:
        last = last[:-1]
    return [*lines[: most_lines - 1], last + "\u2026"]
