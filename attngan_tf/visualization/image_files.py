"""Images of captions, generated and written to a folder as PNG files."""

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


class Samples(NamedTuple):
    """Generated images, several samples of each caption.

    Attributes:
      captions: C captions.
      images: uint8 [N, H, W, 3].
      outputs: the model's outputs that are needed, each [N, ...].
      seeds: of the images, N.
      selected: indices of the images to write, as many for each caption.
    """

    captions: Sequence[str]
    images: np.ndarray
    outputs: dict[str, np.ndarray]
    seeds: Sequence[int]
    selected: Sequence[int]

    @property
    def per_caption(self) -> int:
        """The number of selected images of each caption."""
        return len(self.selected) // len(self.captions)


def generate_samples(
    model: TextToImage,
    captions: list[str],
    *,
    seed: int | None,
    samples: int,
    best_of: int = 0,
    attention: bool = False,
) -> Samples:
    """Generates images of each caption; arguments as for `write_images`."""
    count = best_of or samples
    repeated = [caption for caption in captions for _ in range(count)]
    first = (
        model.caption_seeds(captions)
        if seed is None
        else [seed] * len(captions)
    )
    seeds = [s + k for s in first for k in range(count)]
    last = model.last_images
    # The attention maps of an image of 256 x 256 are three times its size.
    outputs = model.outputs(repeated, seeds, None if attention else [last])
    images = to_uint8(outputs[last]).numpy()
    selected = range(len(repeated))
    if best_of:
        scores = model.score(repeated, images)["sentence_score"]
        selected = best_indices(scores.reshape(-1, count), samples)
    return Samples(captions, images, outputs, seeds, selected)


def best_indices(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the best images of each caption, best first.

    Args:
      scores: float [captions, images of each].
      count: images to select for each caption.

    Returns:
      int [captions * count], indices of the flattened scores.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    firsts = np.arange(len(scores))[:, None] * scores.shape[1]
    return (firsts + order).reshape(-1)


class Writer:
    """Writes PNG files that hold their captions, seeds and the model's step.

    Args:
      folder: that the files are written to.
      step: of the model.
    """

    def __init__(self, folder: str, step: int):
        self.folder = folder
        self.step = step
        self.files = []

    def write(self, name: str, image: Image.Image, **texts) -> None:
        """Writes an image with its texts (see `png.save`)."""
        self.files.append(os.path.join(self.folder, name))
        png.save(image, self.files[-1], **texts, step=self.step)


def write_images(
    model: TextToImage,
    captions: list[str],
    *,
    output: str,
    seed: int | None,
    samples: int,
    best_of: int = 0,
    attention: bool = False,
) -> list[str]:
    """Writes an image for each caption and sample, and a contact sheet.

    Args:
      model: generates the images.
      captions: one or more.
      output: folder of the files.
      seed: of a caption's first sample; sample k has `seed + k`. None: each
        caption's own seed, so that a caption always gives the same images.
      samples: images of each caption.
      best_of: if above 0, images to generate for each caption, of which the
        `samples` best are written, best first.
      attention: whether to write the attention figure of each image.

    Returns:
      The files written, the contact sheet last.
    """
    found = generate_samples(
        model,
        captions,
        seed=seed,
        samples=samples,
        best_of=best_of,
        attention=attention,
    )
    sheet = contact_sheet(found.images[found.selected], captions, samples)
    return _write(model, found, output, attention, "contact_sheet.png", sheet)


def write_grid(
    model: TextToImage,
    sentences: list[Variant],
    *,
    output: str,
    seed: int | None,
    samples: int,
    attention: bool = False,
) -> list[str]:
    """Writes the images of a sentence's variants, and a sheet as in Fig. 5.

    Each row of the sheet is a variant, with the changed words underlined;
    column k has the noise of `seed + k`. Variants of one sample stand side by
    side. Without a seed, the first sentence's own is used.

    Returns:
      The files written, the sheet last.
    """
    captions = [sentence.caption for sentence in sentences]
    if seed is None:
        (seed,) = model.caption_seeds(captions[:1])
    found = generate_samples(
        model, captions, seed=seed, samples=samples, attention=attention
    )
    changed = [sentence.changed for sentence in sentences]
    sheet = contact_sheet(found.images, captions, samples, changed)
    return _write(model, found, output, attention, "grid.png", sheet)


def write_interpolation(
    model: TextToImage,
    captions: list[str],
    *,
    output: str,
    seed: int | None,
    steps_between: int,
) -> list[str]:
    """Writes a row of images between two captions, or two samples of noise.

    Two captions share the noise of the seed; one caption is interpolated from
    the noise of `seed` to that of `seed + 1`. Without a seed, the first
    caption's own is used. See `TextToImage.from_ends`.

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
    fractions = np.linspace(0, 1, steps_between + 2)
    images = model.interpolate(captions, seeds, fractions)
    writer = Writer(output, model.step)
    ends = {"caption": captions, "seed": seeds}
    for index, image in enumerate(images):
        name = f"interpolation_{index:02d}.png"
        fraction = f"{fractions[index]:.4g}"
        writer.write(name, Image.fromarray(image), **ends, share=fraction)
    scale = figures.sheet_scale(images.shape[1])
    row = figures.grid(images, len(images), [title], scale)
    writer.write("interpolation.png", row, **ends)
    return writer.files


def _write(model, found, output, attention, name, sheet) -> list[str]:
    """Writes the selected images, then their sheet; returns the files."""
    writer = Writer(output, model.step)
    for index, row in enumerate(found.selected):
        number, sample = divmod(index, found.per_caption)
        caption = found.captions[number]
        texts = {"caption": caption, "seed": found.seeds[row]}
        file = file_name(number + 1, caption, sample)
        writer.write(file, Image.fromarray(found.images[row]), **texts)
        if attention:
            figure = attention_figure(model, found.outputs, row)
            file = file.removesuffix(".png") + "_attention.png"
            writer.write(file, figure, **texts)
    seeds = np.take(found.seeds, found.selected).reshape(-1, found.per_caption)
    lines = [" ".join(map(str, row)) for row in seeds.tolist()]
    writer.write(name, sheet, caption=found.captions, seed=lines)
    return writer.files


def file_name(number: int, caption: str, sample: int) -> str:
    """A file name that holds the caption, such as 001_a_red_bird_0.png."""
    words = re.sub(r"[^a-z0-9]+", "_", caption.lower()).strip("_")[:48]
    return f"{number:03d}_{words}_{sample}.png"


def contact_sheet(
    images: np.ndarray,
    captions: list[str],
    samples: int,
    changed: Sequence[Collection[int]] | None = None,
) -> Image.Image:
    """All images on one sheet; a row for each caption if it has several.

    Args:
      images: uint8 [captions * samples, H, W, 3].
      captions: of the images.
      samples: images of each caption.
      changed: for each caption, the indices of words to underline.
    """
    scale = figures.sheet_scale(images.shape[1])
    columns = samples if samples > 1 else SHEET_COLUMNS
    return figures.grid(images, columns, captions, scale, changed)
