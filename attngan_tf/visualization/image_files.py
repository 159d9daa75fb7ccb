"""Pictures of captions, written to a folder: what generate draws."""

import os
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from attngan_tf.cli.captions import Variant
from attngan_tf.io import png
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage
from attngan_tf.visualization import figures
from attngan_tf.visualization.attention import attention_figure

SHEET_COLUMNS = 4


def file_name(number: int, caption: str, sample: int) -> str:
    """A file's name that tells its caption: 001_a_red_bird_0.png."""
    words = re.sub(r"[^a-z0-9]+", "_", caption.lower()).strip("_")[:48]
    return f"{number:03d}_{words}_{sample}.png"


class Drawn(NamedTuple):
    """Pictures of captions, and which of them are kept.

    Attributes:
      images: uint8 [N, H, W, 3].
      outputs: the sampler's, those needed.
      seeds: of the pictures, N.
      rows: of the pictures that are kept.
    """

    images: np.ndarray
    outputs: dict[str, np.ndarray]
    seeds: Sequence[int]
    rows: Sequence[int]


def draw(
    model: TextToImage,
    captions: list[str],
    seed: int | None,
    samples: int,
    best_of: int,
    attention: bool,
) -> Drawn:
    """Pictures of each caption, of which so many samples are kept.

    See `generate`. What only the attention figure needs is kept for it alone:
    for a picture of 256 x 256 it is three times as large as the picture.
    """
    drawn = best_of or samples
    repeated = [caption for caption in captions for _ in range(drawn)]
    first = (
        model.caption_seeds(captions)
        if seed is None
        else [seed] * len(captions)
    )
    seeds = [s + k for s in first for k in range(drawn)]
    last = model.last_images
    names = None if attention else [last]
    outputs = model.outputs(repeated, seeds, names)
    images = to_uint8(outputs[last]).numpy()
    rows = range(len(repeated))
    if best_of:
        scores = model.score(repeated, images)["sentence_score"]
        rows = best_rows(scores.reshape(-1, drawn), samples)
    return Drawn(images, outputs, seeds, rows)


class Writer:
    """Writes PNG files that tell their captions, seeds, and the model's step.

    Args:
      folder: where to.
      step: of the model.
    """

    def __init__(self, folder: str, step: int):
        self.folder = folder
        self.step = step
        self.files = []

    def write(self, name: str, image: Image.Image, **texts) -> None:
        """Writes a picture with its texts (see `png.save`)."""
        self.files.append(os.path.join(self.folder, name))
        png.save(image, self.files[-1], **texts, step=self.step)


def generate(
    model: TextToImage,
    captions: list[str],
    *,
    output: str,
    seed: int | None,
    samples: int,
    best_of: int = 0,
    attention: bool = False,
) -> list[str]:
    """Writes a picture a caption and sample, and a contact sheet.

    Sample k of a caption has seed `seed + k`. Without a seed it has the
    caption's own: the same sentence gives the same pictures. With `best_of`,
    the samples are the best of so many, best first.

    Returns:
      The files written, the contact sheet last.
    """
    drawn = draw(model, captions, seed, samples, best_of, attention)
    writer = Writer(output, model.step)
    sheet = contact_sheet(drawn.images[drawn.rows], captions, samples)
    return _write(
        writer, model, captions, drawn, attention, "contact_sheet.png", sheet
    )


def _write(writer, model, captions, drawn, attention, name, sheet) -> list[str]:
    """Writes the pictures, then their sheet; returns the files."""
    write_pictures(writer, model, captions, drawn, attention)
    seeds = seed_lines(drawn, len(drawn.rows) // len(captions))
    writer.write(name, sheet, caption=captions, seed=seeds)
    return writer.files


def grid(
    model: TextToImage,
    sentences: list[Variant],
    *,
    output: str,
    seed: int | None,
    samples: int,
    attention: bool = False,
) -> list[str]:
    """Writes the pictures of a sentence's variants, and Fig. 5 of them.

    Each row of the sheet is a variant, the words that were changed underlined;
    column k has the noise of `seed + k`. Of one sample, variants stand side by
    side. Without a seed, the first sentence's own counts.

    Returns:
      The files written, the sheet last.
    """
    captions = [sentence.caption for sentence in sentences]
    if seed is None:
        (seed,) = model.caption_seeds(captions[:1])
    drawn = draw(model, captions, seed, samples, 0, attention)
    writer = Writer(output, model.step)
    changed = [sentence.changed for sentence in sentences]
    sheet = contact_sheet(drawn.images, captions, samples, changed)
    return _write(writer, model, captions, drawn, attention, "grid.png", sheet)


def interpolate(
    model: TextToImage,
    captions: list[str],
    *,
    output: str,
    seed: int | None,
    steps_between: int,
) -> list[str]:
    """Writes a row of pictures between two captions, or two noises.

    Two captions have the noise of the seed in common; one caption goes from
    the noise of `seed` to that of `seed + 1`. Without a seed, the first
    caption's own counts. `TextToImage.from_ends` says what lies between.

    Returns:
      The files written, the row last.
    """
    if seed is None:
        (seed,) = model.caption_seeds(captions[:1])
    quoted = [f"\u201c{caption}\u201d" for caption in captions]
    if len(captions) == 2:
        seeds = [seed, seed]
        title = f"from {quoted[0]} to {quoted[1]}, seed {seed}"
    else:
        captions, seeds = captions * 2, [seed, seed + 1]
        title = f"{quoted[0]}, from seed {seed} to seed {seed + 1}"
    shares = np.linspace(0, 1, steps_between + 2)
    images = model.interpolate(captions, seeds, shares)
    writer = Writer(output, model.step)
    ends = {"caption": captions, "seed": seeds}
    for place, (image, share) in enumerate(zip(images, shares, strict=True)):
        name = f"interpolation_{place:02d}.png"
        picture = Image.fromarray(image)
        writer.write(name, picture, **ends, share=f"{share:.4g}")
    scale = figures.sheet_scale(images.shape[1])
    row = figures.grid(images, len(images), [title], scale)
    writer.write("interpolation.png", row, **ends)
    return writer.files


def write_pictures(
    writer: Writer,
    model: TextToImage,
    captions: list[str],
    drawn: Drawn,
    attention: bool,
) -> None:
    """Writes each picture that is kept, and its Fig. 4 if asked for."""
    samples = len(drawn.rows) // len(captions)
    for place, row in enumerate(drawn.rows):
        number, sample = divmod(place, samples)
        caption = captions[number]
        texts = {"caption": caption, "seed": drawn.seeds[row]}
        name = file_name(number + 1, caption, sample)
        writer.write(name, Image.fromarray(drawn.images[row]), **texts)
        if attention:
            figure = attention_figure(model, drawn.outputs, row)
            name = name.removesuffix(".png") + "_attention.png"
            writer.write(name, figure, **texts)


def seed_lines(drawn: Drawn, samples: int) -> list[str]:
    """The seeds of the kept pictures of each caption, in one line each."""
    seeds = [str(drawn.seeds[row]) for row in drawn.rows]
    starts = range(0, len(seeds), samples)
    return [" ".join(seeds[start : start + samples]) for start in starts]


def best_rows(scores: np.ndarray, count: int) -> np.ndarray:
    """The rows of the best pictures of each caption, best first.

    Args:
      scores: float [captions, pictures of each]; row numbers go on from one
        caption to the next.
      count: pictures to keep of each.

    Returns:
      int [captions * count].
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    firsts = np.arange(len(scores))[:, None] * scores.shape[1]
    return (firsts + order).reshape(-1)


def contact_sheet(
    images: np.ndarray,
    captions: list[str],
    samples: int,
    changed: Sequence[Collection[int]] | None = None,
) -> Image.Image:
    """All pictures on one sheet: a row a caption if it has several.

    The places of changed words, of each caption, are underlined.
    """
    scale = figures.sheet_scale(images.shape[1])
    columns = samples if samples > 1 else SHEET_COLUMNS
    return figures.grid(images, columns, captions, scale, changed)
