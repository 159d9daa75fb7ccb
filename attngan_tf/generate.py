"""python -m attngan_tf.generate: images for your own captions."""

import os

from absl import flags

from attngan_tf.cli import command
from attngan_tf.cli.captions import clean, read_captions, variants
from attngan_tf.encoders import check_image_encoder
from attngan_tf.errors import UserError
from attngan_tf.text_to_image import load
from attngan_tf.visualization import image_files

MAX_STEPS_BETWEEN = 30  # images in a row
# Flags, and the flags that each of them excludes.
ALONE = {
    "grid": ("interpolate", "captions_file", "best_of"),
    "interpolate": ("samples", "best_of", "attention"),
}
# Number of captions for each kind of interpolation.
ENDS = {"captions": 2, "noise": 1}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    common = {"flag_values": values}
    command.define_model_flags(values)
    flags.DEFINE_string(
        "captions_file", None, "UTF-8 text file, one caption per line", **common
    )
    flags.DEFINE_string("output", "pictures", "folder for the images", **common)
    command.define_seed_flag(
        values, None, "seed of the noise; default: a hash of the caption"
    )
    flags.DEFINE_integer(
        "samples", 1, "images for each caption", lower_bound=1, **common
    )
    flags.DEFINE_integer(
        "best_of",
        0,
        "generate this many images for each caption, and write the --samples "
        "images with the highest sentence score of the DAMSM",
        lower_bound=0,
        **common,
    )
    flags.DEFINE_bool(
        "attention",
        False,
        "also write figures of the words that each stage attended to (the "
        "paper's Fig. 4)",
        **common,
    )
    define_comparison_flags(values)


def define_comparison_flags(values: flags.FlagValues) -> None:
    """Defines the flags for sheets that compare captions or noise vectors."""
    common = {"flag_values": values}
    flags.DEFINE_string(
        "grid",
        None,
        'a sentence with choices, "a {red|blue} bird": each variant is a row, '
        "and each column has the same noise (the paper's Fig. 5)",
        **common,
    )
    flags.DEFINE_enum(
        "interpolate",
        None,
        list(ENDS),
        "generate a row of images that interpolates between two captions with "
        "the same noise, or between the noise of --seed and that of the next "
        "seed for one caption",
        **common,
    )
    flags.DEFINE_integer(
        "steps_between",
        6,
        "number of images of --interpolate between the two ends",
        lower_bound=1,
        upper_bound=MAX_STEPS_BETWEEN,
        **common,
    )


def check_flags(values: flags.FlagValues, arguments: list[str]) -> None:
    """Raises UserError if flags, or flags and captions, conflict."""
    command.check_workdir(values)
    if 0 < values.best_of < values.samples:
        raise UserError(
            "--best_of must be at least --samples, which it chooses from; "
            f"received {values.best_of} and {values.samples}"
        )
    command.check_alone(values, ALONE)
    if values["steps_between"].present and values.interpolate is None:
        raise UserError(
            "--steps_between must be used with --interpolate; received it alone"
        )
    if values.grid is not None and arguments:
        raise UserError(
            "--grid must be the only sentence; received also "
            f"{clean(arguments[0])!r}; remove one"
        )


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    check_flags(values, arguments)
    changed = None
    if values.grid is not None:
        captions, changed = zip(*variants(clean(values.grid)), strict=True)
    else:
        captions = read_captions(values.captions_file, arguments)
    needed = ENDS.get(values.interpolate, len(captions))
    if len(captions) != needed:
        raise UserError(
            f"--interpolate={values.interpolate} needs {needed} captions; "
            f"received {len(captions)}"
        )
    model = load(values.workdir, values.checkpoint)
    if values.best_of:
        check_image_encoder(values.workdir)
    if values.attention and not model.generator.attends:
        raise UserError(
            "--attention needs a generator that attends to words; this one "
            f"was trained with --attention={model.config.attention} and "
            f"--num_stages={model.config.num_stages}; remove the flag"
        )
    try:
        os.makedirs(values.output, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output must be a folder; {error}") from None
    seed = values.seed
    if seed is None and (values.interpolate or changed):
        (seed,) = model.caption_seeds(captions[:1])  # the same for all images
    common = {"output": values.output, "seed": seed}
    if values.interpolate:
        files = image_files.write_interpolation(
            model, captions, steps_between=values.steps_between, **common
        )
    else:
        files = image_files.write_images(
            model,
            captions,
            samples=values.samples,
            best_of=values.best_of,
            attention=values.attention,
            changed=changed,
            **common,
        )
    for note in model.notes(captions):
        print(note)
    if len(arguments) > 1 and not any(" " in text for text in arguments):
        print(
            f"{len(arguments)} captions of one word each; put a sentence in "
            "quotes to make it one caption"
        )
    print(f"{len(files)} files in {values.output}; overview: {files[-1]}")


if __name__ == "__main__":
    command.run(define_flags, main)
