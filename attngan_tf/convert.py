"""python -m attngan_tf.convert: reads or writes published PyTorch files."""

import contextlib
import dataclasses
import os
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf
from absl import flags

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.data import pickles
from attngan_tf.data.vocabulary import Vocabulary, check_words
from attngan_tf.encoders import has_image_encoder
from attngan_tf.errors import UserError
from attngan_tf.io import scratch
from attngan_tf.io.disk import writing
from attngan_tf.models import build
from attngan_tf.pretrained import files, layouts, recognition
from attngan_tf.runs import checkpoint
from attngan_tf.runs import workdir as workdirs
from attngan_tf.runs.checkpoints import Checkpoints
from attngan_tf.text_to_image import load

NETWORKS = ("text_encoder", "image_encoder", "generator")
FILES = (*NETWORKS, "captions_pickle")
NEEDED = ("text_encoder", "generator", "captions_pickle", "workdir")
# The settings of the released code's image encoder.
IMAGE_ENCODER = {
    name: recognition.RELEASED[name]
    for name in (
        "image_encoder",
        "image_region_layer",
        "inception_padding",
        "image_encoder_resize",
    )
} | {"image_encoder_size": 299}
FLAGFILE = "train.flags"
IMAGE_ENCODER_FILE = "image_encoder.pth"
CAPTIONS = "captions.pickle"


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    for name, files_of_it in (
        ("text_encoder", "text_encoder*.pth"),
        (
            "image_encoder",
            "image_encoder*.pth; optional: scoring and training need it, "
            "generating, exporting and serving do not",
        ),
        ("generator", "*_AttnGAN2.pth, *_AttnDCGAN2.pth or netG_epoch_*.pth"),
        ("captions_pickle", "captions.pickle, with the model's vocabulary"),
    ):
        help = f"published file: {files_of_it}"
        flags.DEFINE_string(name, None, help, flag_values=values)
    flags.DEFINE_list(
        "discriminators",
        [],
        "published files netD0.pth,netD1.pth,netD2.pth, to continue training; "
        "without them, training starts with new ones",
        flag_values=values,
    )
    flags.DEFINE_string(
        "workdir",
        None,
        "new folder to write; with --to_pytorch, the trained one to read",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "tokenizer",
        "ascii",
        ["ascii", "unicode"],
        "which words captions have: those of the released code (ascii), or "
        "those of any language",
        flag_values=values,
    )
    flags.DEFINE_string(
        "to_pytorch",
        None,
        "new folder for PyTorch files of the workdir's model; its image "
        "encoder, whose batch norms are merged, is for evaluation only",
        flag_values=values,
    )


class Published(NamedTuple):
    """The contents of a model's files; discriminators by image size."""

    words: list[str]
    text_encoder: layouts.State
    image_encoder: layouts.State | None
    generator: layouts.State
    discriminators: dict[int, layouts.State]


def read_words(path: str) -> list[str]:
    """The vocabulary of captions.pickle; raises UserError."""
    files.check_kind(path, "captions_pickle")
    try:
        words = pickles.load_words(path)
    except pickles.PickleError as error:
        raise UserError(f"--captions_pickle={path}: {error}") from None
    check_words(words, path)
    return words


def read_discriminators(
    paths: list[str], config: Config
) -> dict[int, layouts.State]:
    """Tensors of the discriminators by image size.

    Raises:
      UserError: a file is wrong, or they do not fit the generator.
    """
    states = {}
    for path in paths:
        state = files.read_state(path, "discriminators")
        states[recognition.discriminator_size(state, path)] = state
    sizes = sorted(build.discriminator_sizes(config))
    if paths and (sorted(states) != sizes or len(states) != len(paths)):
        raise UserError(
            "--discriminators must be one for each image of the generator, of "
            f"{', '.join(map(str, sizes))} pixels; received {len(paths)}, of "
            f"{', '.join(map(str, sorted(states)))}"
        )
    return states


def read(values: flags.FlagValues) -> tuple[Config, Published]:
    """The contents of the files, and their configuration.

    Raises:
      UserError: a file is wrong, or the files are not of one model.
    """
    words = read_words(values.captions_pickle)
    states = [
        files.read_state(path, name) if (path := values[name].value) else None
        for name in NETWORKS
    ]
    fields = recognition.fields(*states)
    fields |= {"tokenizer": values.tokenizer, "stage": "gan"}
    config = Config(workdir=values.workdir, **fields)
    rows = len(states[0]["encoder.weight"])
    if rows != len(words):
        raise UserError(
            "--captions_pickle must have as many words as the text encoder "
            f"has embeddings; received {len(words)} words in "
            f"{values.captions_pickle} and {rows} embeddings in "
            f"{values.text_encoder}; take the files of one model"
        )
    discriminators = read_discriminators(values.discriminators, config)
    if discriminators:
        df = recognition.width(next(iter(discriminators.values())))
        config = dataclasses.replace(config, df=df)
    return config, Published(words, *states, discriminators)


def write_workdir(
    config: Config, published: Published, values: flags.FlagValues
) -> None:
    """Writes the workdir.

    Raises:
      UserError: a tensor does not fit its network, or the folder cannot be
        written.
    """
    with _new_folder(config.workdir) as folder:
        Vocabulary(published.words).save(folder)
        _write_gan(folder, config, published, values)
        _write_encoders(folder, config, published, values)
        _write_flagfile(folder, config)
        config.save(folder, workdirs.versions())


@contextlib.contextmanager
def _new_folder(path: str) -> Iterator[str]:
    """A folder that is renamed to `path` if the block ends without an error."""
    path = os.path.abspath(path)
    with (
        writing("a new folder", path),
        scratch.folder(os.path.dirname(path), ".converting-") as folder,
    ):
        yield folder
        os.chmod(folder, 0o755)  # scratch folders are private
        os.rename(folder, path)


def _check_new(flag: str, path: str) -> None:
    if os.path.exists(path):
        raise UserError(
            f"--{flag} must be new; {path} already exists; name another folder"
        )


def _write_encoders(
    folder: str, config: Config, published: Published, values: flags.FlagValues
) -> None:
    rows = len(published.words)
    text_encoder = build.text_encoder(config, rows)
    parts = layouts.text_encoder(text_encoder)
    layouts.load(parts, published.text_encoder, values.text_encoder)
    items = {
        "text_encoder": text_encoder,
        checkpoint.VOCABULARY_SIZE: tf.Variable(rows, trainable=False),
    }
    if published.image_encoder is not None:
        image_encoder = build.image_encoder(config, None)
        parts = layouts.image_encoder(image_encoder)
        layouts.load(parts, published.image_encoder, values.image_encoder)
        items["image_encoder"] = image_encoder
    Checkpoints(os.path.join(folder, "damsm"), items, 1).offer(0, 0)


def _write_gan(
    folder: str, config: Config, published: Published, values: flags.FlagValues
) -> None:
    generator = build.generator(config)
    parts = layouts.generator(generator)
    layouts.load(parts, published.generator, values.generator)
    # The published weights are the average. Training needs two objects: a
    # checkpoint stores one object only once, and restores only one of two.
    average = build.generator(config, "average")
    average.set_weights(generator.get_weights())
    items = {"generator": generator, "average": average}
    for size, state in published.discriminators.items():
        network = build.discriminator(config, size)
        parts = layouts.discriminator(network)
        layouts.load(parts, state, f"netD of {size} pixels")
        items[f"discriminator_{size}"] = network
    Checkpoints(os.path.join(folder, "gan"), items, 1).save(0)


def _write_flagfile(folder: str, config: Config) -> None:
    """Flags to continue training in the workdir."""
    path = os.path.join(folder, FLAGFILE)
    with open(path, "w", encoding="utf-8") as file:
        file.write("# The released settings, as recognized by convert.\n")
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if field.name == "workdir":
                value = os.path.abspath(value)
            if value != field.default:
                file.write(f"--{field.name}={value}\n")


def to_pytorch(workdir: str, folder: str) -> None:
    """Writes a workdir's model as files that the released code loads.

    It prints each file, and what cannot be written.

    Raises:
      UserError: the released code has no such model, or the folder exists or
        cannot be written.
    """
    _check_new("to_pytorch", folder)
    config = Config.load(workdir)
    _check_publishable(config)
    networks = _publishable(workdir)
    words = Vocabulary.load(workdir, config.tokenizer).words
    with _new_folder(folder) as unfinished:
        for name, parts in networks.items():
            state = layouts.state_of(parts)
            files.write_state(state, os.path.join(unfinished, name))
        pickles.save_words(words, os.path.join(unfinished, CAPTIONS))
    for name in networks:
        print(f"written: {os.path.join(folder, name)}")
    print(f"written: {os.path.join(folder, CAPTIONS)} (words without captions)")
    if config.discriminator != "paper":
        print(
            "not written: the last stage's discriminator; the released code "
            f"has none like --discriminator={config.discriminator}"
        )
    if IMAGE_ENCODER_FILE in networks:
        print(
            f"{IMAGE_ENCODER_FILE} is for evaluation, not for training: its "
            "batch norms are merged into its convolutions"
        )
    elif not has_image_encoder(workdir):
        print(f"not written: {IMAGE_ENCODER_FILE}; {workdir} has none")
    else:
        settings = " ".join(f"--{k}={v}" for k, v in IMAGE_ENCODER.items())
        print(
            f"not written: {IMAGE_ENCODER_FILE}; the released code's is "
            f"{settings}"
        )


def _publishable(workdir: str) -> dict[str, list[layouts.Part]]:
    """The layouts of a model's networks, by file name."""
    model = load(workdir)
    config = model.config
    found = {
        "text_encoder.pth": layouts.text_encoder(model.text_encoder),
        "netG.pth": layouts.generator(model.generator),
    }
    released = all(getattr(config, k) == v for k, v in IMAGE_ENCODER.items())
    if released and has_image_encoder(workdir):
        parts = layouts.image_encoder(model.image_encoder)
        found[IMAGE_ENCODER_FILE] = parts
    path = checkpoint.find(workdir, "gan")
    names = checkpoint.parts(path)
    sizes = build.discriminator_sizes(config)
    if config.discriminator != "paper":
        sizes = sizes[:-1]
    for i, size in enumerate(sizes):
        name = f"discriminator_{size}"
        if name in names:
            network = build.discriminator(config, size)
            checkpoint.restore_part(path, **{name: network})
            found[f"netD{i}.pth"] = layouts.discriminator(network)
    return found


def _check_publishable(config: Config) -> None:
    sizes = config.image_sizes
    if sizes != tuple(layouts.CONVOLUTIONS)[: len(sizes)]:
        raise UserError(
            "--to_pytorch needs images of 64, 128 and 256 pixels, as the "
            f"released code generates; those of {config.workdir} are of "
            f"{', '.join(map(str, sizes))}"
        )
    released = {"discriminator_stages": "all", "attention": "words"}
    for name, value in released.items():
        found = getattr(config, name)
        if found != value:
            raise UserError(
                f"--to_pytorch needs a model of --{name}={value}, like the "
                f"released code's; {config.workdir} has --{name}={found}"
            )


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    if arguments:
        raise command.flags_only("convert", arguments)
    # bash does not expand the ~ of --flag=~/x.
    for name in (*FILES, "workdir", "to_pytorch"):
        if values[name].value:
            values[name].value = os.path.expanduser(values[name].value)
    if values.to_pytorch:
        _main_to_pytorch(values)
        return
    missing = [name for name in NEEDED if not values[name].value]
    if missing:
        raise UserError(
            f"--{missing[0]} must be given; received none; convert takes "
            "--text_encoder, --generator, --captions_pickle and --workdir, and "
            "optionally --image_encoder"
        )
    _check_new("workdir", values.workdir)
    config, published = read(values)
    write_workdir(config, published, values)
    for path in filter(None, (values[name].value for name in FILES)):
        kind = files.AUTHENTIC.get(files.blob_id(path))
        known = f"the authors' {kind}" if kind else "not a known published file"
        print(f"{path}: {known}")
    for note in _notes(config, published):
        print(note)
    print(_summary(config, published))


def _main_to_pytorch(values: flags.FlagValues) -> None:
    given = [name for name in (*FILES, "discriminators") if values[name].value]
    if given or not values.workdir:
        received = f"--{given[0]}, too" if given else "no --workdir"
        raise UserError(
            f"--to_pytorch takes a --workdir and nothing else; received "
            f"{received}"
        )
    to_pytorch(values.workdir, values.to_pytorch)


def _notes(config: Config, published: Published) -> list[str]:
    """What a user may not expect of a model."""
    words, notes = published.words, []
    if lost := recognition.unreachable_words(words, config.tokenizer):
        total = len(words) - 1  # without the padding
        more = len(recognition.unreachable_words(words, "unicode"))
        notes.append(
            f"warning: captions can name {total - len(lost)} of the {total} "
            "words; the tokenizer drops or splits the others, such as "
            f"{', '.join(lost[:3])}, and the model ignores them in captions"
            + "; --tokenizer=unicode can name more"
            * (more < len(lost))
        )
    if config.dataset == "folder":
        known = " or ".join(
            f"{name}'s {size:,}"
            for size, name in recognition.VOCABULARIES.items()
        )
        notes.append(
            f"own data: {len(words):,} words are not {known}; evaluate takes "
            "other data with --dataset"
        )
    if published.image_encoder is None:
        notes.append(
            "without --image_encoder: the model generates and can be exported; "
            "training and generate --best_of need one, and evaluate needs "
            "--backend or --encoders"
        )
    elif not published.discriminators:
        notes.append("training starts with new discriminators: none given")
    return notes


def _summary(config: Config, published: Published) -> str:
    """The model in a line, and commands that use it."""
    workdir = shlex.quote(config.workdir)
    sizes = ", ".join(map(str, config.image_sizes))
    dataset = "own data" if config.dataset == "folder" else config.dataset
    caption = "a small red bird" if "bird" in published.words else "..."
    backend = "" if published.image_encoder else " --backend=inception_v3"
    commands = [
        f'attngan_tf.generate --workdir={workdir} "{caption}"',
        f"attngan_tf.evaluate --workdir={workdir}{backend} --data_dir=...",
        f"export.saved_model --workdir={workdir} --export_dir=models/attngan",
    ]
    if published.image_encoder:
        flagfile = f"--flagfile={workdir}/{FLAGFILE}"
        commands.append(f"attngan_tf.train {flagfile} --data_dir=...")
    return (
        f"\n{config.workdir}: {config.generator} ({dataset}), images of "
        f"{sizes} pixels, GF {config.gf}, {len(published.words)} words. Next "
        "commands:" + "".join(f"\n  python -m {x}" for x in commands)
    )


if __name__ == "__main__":
    command.run(define_flags, main)
