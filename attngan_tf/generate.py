"""python -m attngan_tf.generate: pictures for your own sentences."""

import os
import re

import numpy as np
from absl import flags
from PIL import Image

from attngan_tf import command, figures
from attngan_tf.config import UserError
from attngan_tf.model import Model, load
from attngan_tf.sampling import to_uint8

SHEET_COLUMNS = 4


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    common = {"flag_values": values}
    flags.DEFINE_string("workdir", None, "folder of a training run", **common)
    flags.DEFINE_string(
        "captions_file", None, "text file with a caption a line", **common
    )
    flags.DEFINE_string(
        "output", "pictures", "folder the pictures are written to", **common
    )
    flags.DEFINE_integer(
        "seed",
        None,
        "seed of the noise; without it, each caption's own",
        lower_bound=0,
        upper_bound=2**53,
        **common,
    )
    flags.DEFINE_integer(
        "samples", 1, "pictures for each caption", lower_bound=1, **common
    )
    flags.DEFINE_bool(
        "attention",
        False,
        "draw, too, which words each stage attended to (the paper's Fig. 4)",
        **common,
    )
    flags.DEFINE_string(
        "checkpoint",
        "last",
        "checkpoint of the GAN: last, best, or the number of a step",
        **common,
    )


def read_captions(path: str | None, arguments: list[str]) -> list[str]:
    """The captions to draw.

    Raises:
      UserError: there are none, or the file cannot be read.
    """
    # A shell may hand over bytes that are not UTF-8.
    captions = [
        text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for text in arguments
    ]
    if path:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = [line.strip() for line in file]
        except OSError as error:
            raise UserError(
                f"--captions_file must be a text file; {error}"
            ) from None
        captions += [line for line in lines if line]
    if not captions:
        raise UserError(
            "generate needs a caption; received none; write it in quotes "
            "behind the flags, or name a --captions_file"
        )
    return captions


def file_name(number: int, caption: str, sample: int) -> str:
    """A file's name that tells its caption: 001_a_red_bird_0.png."""
    words = re.sub(r"[^a-z0-9]+", "_", caption.lower()).strip("_")[:48]
    return f"{number:03d}_{words}_{sample}.png"


def generate(
    model: Model,
    captions: list[str],
    *,
    output: str,
    seed: int | None,
    samples: int,
    attention: bool,
) -> list[str]:
    """Writes a picture a caption and sample, and a contact sheet.

    Sample k of a caption has seed `seed + k`. Without a seed it has the
    caption's own: the same sentence gives the same pictures.

    Returns:
      The files written, the contact sheet last.
    """
    repeated = [caption for caption in captions for _ in range(samples)]
    first = (
        model.caption_seeds(captions)
        if seed is None
        else [seed] * len(captions)
    )
    seeds = [s + k for s in first for k in range(samples)]
    outputs = model.sampler.outputs(repeated, seeds)
    images = to_uint8(outputs[model.sampler.last_images]).numpy()
    files = []
    for row, (caption, image) in enumerate(zip(repeated, images, strict=True)):
        number, sample = divmod(row, samples)
        path = os.path.join(output, file_name(number + 1, caption, sample))
        Image.fromarray(image).save(path)
        files.append(path)
        if attention:
            files.append(path.removesuffix(".png") + "_attention.png")
            model.sampler.attention_figure(outputs, row).save(files[-1])
    files.append(os.path.join(output, "contact_sheet.png"))
    contact_sheet(images, captions, samples).save(files[-1])
    return files


def contact_sheet(
    images: np.ndarray, captions: list[str], samples: int
) -> Image.Image:
    """All pictures on one sheet: a row a caption if it has several."""
    scale = figures.sheet_scale(images.shape[1])
    columns = samples if samples > 1 else min(SHEET_COLUMNS, len(captions))
    return figures.grid(images, columns, captions, scale)


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command."""
    if not values.workdir:
        raise UserError(
            "--workdir must name the folder of a training run; received none"
        )
    captions = read_captions(values.captions_file, arguments)
    try:
        os.makedirs(values.output, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output must be a folder; {error}") from None
    model = load(values.workdir, values.checkpoint)
    config = model.config
    if values.attention and not model.sampler.generator.attends:
        raise UserError(
            "--attention needs a generator that attends to words; this one "
            f"was trained with --attention={config.attention} and "
            f"--num_stages={config.num_stages}; leave the flag out"
        )
    files = generate(
        model,
        captions,
        output=values.output,
        seed=values.seed,
        samples=values.samples,
        attention=values.attention,
    )
    unknown = model.unknown_words(captions)
    if unknown:
        print(f"words the model does not know: {', '.join(unknown)}")
    print(f"{len(files)} files in {values.output}; all at once: {files[-1]}")


if __name__ == "__main__":
    command.run(define_flags, main)
