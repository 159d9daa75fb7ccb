"""Generates images for captions, and writes them to a folder as PNG files."""

import os
import re
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from attngan_tf.io import png
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage
from attngan_tf.visualization import figures
from attngan_tf.visualization.attention import attention_figure

SHEET_COLUMNS = 4


class Writer:
    """Writes PNG files that contain captions, seeds and the model's step.

    Args:
      folder: folder of the files.
      step: the model's training step.
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
    changed: Sequence[Collection[int]] | None = None,
) -> list[str]:
    """Writes an image for each caption and sample, and a sheet of them.

    Args:
      model: generates the images.
      captions: one or more.
      output: folder of the files.
      seed: seed of each caption's first sample; sample k has `seed + k`.
        None: the caption's own seed, so that it always gives the same images.
      samples: images of each caption.
      best_of: if above 0, images to generate for each caption, of which the
        `samples` best are written, best first.
      attention: whether to write the attention figure of each image.
      changed: if the captions are variants of a sentence, the indices of each
        one's changed words, which are underlined on the sheet, grid.png (as in
        Fig. 5).

    Returns:
      The files written, the sheet last.
    """
    count = best_of or samples
    firsts = [seed] * len(captions)
    if seed is None:
        firsts = model.caption_seeds(captions)
    seeds = [first + k for first in firsts for k in range(count)]
    repeated = [caption for caption in captions for _ in range(count)]
    last = model.last_images
    # The attention maps of an image of 256 x 256 are three times its size.
    outputs = model.outputs(repeated, seeds, None if attention else [last])
    images = to_uint8(outputs[last]).numpy()
    selected = np.arange(len(images)).reshape(-1, count)  # [captions, count]
    if best_of:
        scores = model.score(repeated, images)["sentence_score"]
        order = np.argsort(-scores.reshape(-1, count), 1, kind="stable")
        selected = np.take_along_axis(selected, order[:, :samples], 1)
    writer = Writer(output, model.step)
    for index, row in enumerate(selected.flat):
        number, sample = divmod(index, samples)
        texts = {"caption": captions[number], "seed": seeds[row]}
        name = file_name(number + 1, captions[number], sample)
        writer.write(f"{name}.png", Image.fromarray(images[row]), **texts)
        if attention:
            figure = attention_figure(model, outputs, row)
            writer.write(f"{name}_attention.png", figure, **texts)
    columns = samples if samples > 1 else SHEET_COLUMNS
    shown = images[selected.ravel()]
    sheet = figures.grid(shown, columns, captions, changed)
    lines = [" ".join(str(seeds[row]) for row in rows) for rows in selected]
    name = "grid.png" if changed else "contact_sheet.png"
    writer.write(name, sheet, caption=captions, seed=lines)
    return writer.files


def write_interpolation(
    model: TextToImage,
    captions: list[str],
    *,
    output: str,
    seed: int,
    steps_between: int,
) -> list[str]:
    """Writes a row of images between two captions, or two samples of noise.

    Two captions share the noise of the seed; one caption is interpolated from
    the noise of `seed` to that of `seed + 1`. See `TextToImage.from_ends`.

    Returns:
      The files written, the row last.
    """
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
    row = figures.grid(images, len(images), [title])
    writer.write("interpolation.png", row, **ends)
    return writer.files


def file_name(number: int, caption: str, sample: int) -> str:
    """A file name without extension, such as 001_a_red_bird_0."""
    words = re.sub(r"[^a-z0-9]+", "_", caption.lower()).strip("_")[:48]
    return f"{number:03d}_{words}_{sample}"
