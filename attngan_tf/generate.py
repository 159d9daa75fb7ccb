"""python -m attngan_tf.generate: pictures for your own sentences."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

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
    command.define_model_flags(values)
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
    flags.DEFINE_integer(
        "best_of",
        0,
        "draw so many pictures for each caption, and keep the --samples that "
        "fit it best by the DAMSM's sentence score",
        lower_bound=0,
        **common,
    )
    flags.DEFINE_bool(
        "attention",
        False,
        "draw, too, which words each stage attended to (the paper's Fig. 4)",
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
                text = file.read()
        except OSError as error:
            raise UserError(
                f"--captions_file must be a text file; {error}"
            ) from None
        if "\0" in text:
            raise UserError(
                "--captions_file must be a text file with a caption a line; "
                f"{path} is another kind of file"
            )
        captions += [line.strip() for line in text.splitlines() if line.strip()]
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


class Drawn(NamedTuple):
    """Pictures uint8 [N, H, W, 3], the sampler's outputs, and what is kept."""

    images: np.ndarray
    outputs: dict[str, np.ndarray]
    rows: Sequence[int]


def draw(
    model: Model,
    captions: list[str],
    seed: int | None,
    samples: int,
    best_of: int,
) -> Drawn:
    """Pictures of each caption, of which so many samples are kept.

    See `generate`.
    """
    drawn = best_of or samples
    repeated = [caption for caption in captions for _ in range(drawn)]
    first = (
        model.caption_seeds(captions)
        if seed is None
        else [seed] * len(captions)
    )
    seeds = [s + k for s in first for k in range(drawn)]
    outputs = model.sampler.outputs(repeated, seeds)
    images = to_uint8(outputs[model.sampler.last_images]).numpy()
    rows = range(len(repeated))
    if best_of:
        scores = model.score(repeated, images)["sentence_score"]
        rows = best_rows(scores.reshape(-1, drawn), samples)
    return Drawn(images, outputs, rows)


def generate(
    model: Model,
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
    images, outputs, rows = draw(model, captions, seed, samples, best_of)
    files = []
    for place, row in enumerate(rows):
        number, sample = divmod(place, samples)
        name = file_name(number + 1, captions[number], sample)
        files.append(os.path.join(output, name))
        Image.fromarray(images[row]).save(files[-1])
        if attention:
            files.append(files[-1].removesuffix(".png") + "_attention.png")
            model.sampler.attention_figure(outputs, row).save(files[-1])
    files.append(os.path.join(output, "contact_sheet.png"))
    contact_sheet(images[rows], captions, samples).save(files[-1])
    return files


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
    if 0 < values.best_of < values.samples:
        raise UserError(
            "--best_of must be at least --samples, which it chooses from; "
            f"received {values.best_of} and {values.samples}"
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
        best_of=values.best_of,
        attention=values.attention,
    )
    unknown = model.unknown_words(captions)
    if unknown:
        print(f"words the model does not know: {', '.join(unknown)}")
    print(f"{len(files)} files in {values.output}; all at once: {files[-1]}")


if __name__ == "__main__":
    command.run(define_flags, main)
