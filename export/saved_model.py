"""python -m export.saved_model: exports a model for TensorFlow Serving."""

import contextlib
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

import keras
import tensorflow as tf
from absl import flags

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.encoders import Encoders, load_encoders
from attngan_tf.errors import UserError
from attngan_tf.io import scratch
from attngan_tf.io.disk import writing
from attngan_tf.models import build
from attngan_tf.models.layers.fusion import fuse_batch_norm
from attngan_tf.text_to_image import TextToImage, load
from export import comparison, examples, session_gate
from export.serving import warmup
from export.signatures import (
    Signature,
    damsm_signatures,
    generator_signatures,
)

SCRATCH = ".writing-"  # prefix of unfinished versions
POLICIES = {"float32": "float32", "bf16": "mixed_bfloat16"}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    common = {"flag_values": values}
    command.define_model_flags(values)
    flags.DEFINE_string(
        "export_dir",
        None,
        "the model's folder, which is the server's --model_base_path; each "
        "version becomes a folder in it",
        **common,
    )
    flags.DEFINE_enum(
        "model",
        "generator",
        ["generator", "damsm"],
        "generator: images from captions; damsm: how well images match "
        "captions",
        **common,
    )
    flags.DEFINE_integer(
        "version",
        None,
        "number of the version; the default is one more than the last",
        lower_bound=1,
        upper_bound=2**63 - 1,
        **common,
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        list(POLICIES),
        "of the exported graph; outputs are always float32. bf16 is for CPUs "
        "with AMX and for GPUs",
        **common,
    )


class Exported(NamedTuple):
    """What is written as a version."""

    vocabulary: Vocabulary
    signatures: Mapping[str, Signature]


def read(values: flags.FlagValues, policy: str) -> TextToImage | Encoders:
    """Loads the model of the kind that `--model` names from the workdir.

    Raises:
      UserError: the workdir has no such model.
    """
    if values.model == "damsm":
        return load_encoders(values.workdir, False, policy, values.checkpoint)
    return load(values.workdir, values.checkpoint, False, policy)


def exported_of(
    trained: TextToImage | Encoders, fused: bool = False
) -> Exported:
    """A model's vocabulary and signatures; `fused`: see `fused_model`."""
    if isinstance(trained, Encoders):
        vocabulary = trained.caption_encoder.vocabulary
        return Exported(vocabulary, damsm_signatures(trained))
    model = fused_model(trained) if fused else trained
    return Exported(model.vocabulary, generator_signatures(model))


def fused_model(model: TextToImage) -> TextToImage:
    """A copy with batch normalization fused into the convolutions."""
    generator = build.generator(model.config, fused=True)
    fuse_batch_norm(model.generator, generator)
    return TextToImage(
        config=model.config,
        vocabulary=model.vocabulary,
        text_encoder=model.text_encoder,
        generator=generator,
        step=model.step,
    )


def traced(exported: Exported) -> keras.export.ExportArchive:
    """The traced signatures, which `write` writes."""
    archive = keras.export.ExportArchive()
    # Only the tables: the variables of a tracked network are saved twice.
    archive.track(exported.vocabulary.ids_table)
    archive.track(exported.vocabulary.words_table)
    for name, (function, inputs) in exported.signatures.items():
        endpoint = archive.add_endpoint(name, function, inputs)
        endpoint.get_concrete_function()  # traces here, not in `write_out`
    return archive


def write(
    folder: str,
    archive: keras.export.ExportArchive,
    signatures: Mapping[str, Signature],
) -> None:
    """Writes a SavedModel with its warm-up requests."""
    # Gradients, which serving does not need, are a fifth of the graph.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(folder, options, verbose=False)
    warm_up = os.path.join(folder, warmup.FILE)
    os.makedirs(os.path.dirname(warm_up), exist_ok=True)
    inputs = examples.example_inputs(signatures, examples.WARM_UP_CAPTIONS)
    examples.write_requests(warm_up, inputs)


def check(
    folder: str,
    inputs: Mapping[str, examples.Inputs],
    expected: Mapping[str, examples.Inputs],
    exact: bool,
) -> list[str]:
    """The differences between a SavedModel's outputs and the expected ones.

    A new process loads the SavedModel with the loader that TensorFlow Serving
    uses.

    Args:
      folder: the SavedModel; requests and answers are written beside it.
      inputs: arrays by name, by signature.
      expected: outputs by name, by signature.
      exact: see `comparison.differences`.
    """
    requests, answers = f"{folder}.requests", f"{folder}.answers"
    examples.write_requests(requests, inputs)
    gate = subprocess.run(
        [sys.executable, session_gate.__file__, folder, requests, answers],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if gate.returncode:
        lines = gate.stderr.strip().splitlines() or ["no reason given"]
        return [f"it does not load or answer: {lines[-1]}"]
    found = examples.read_answers(answers)
    return comparison.differences(expected, found, exact)


def outputs_of(
    signature: Signature, inputs: examples.Inputs
) -> examples.Inputs:
    """Runs the signature's function in this process."""
    tensors = [
        tf.constant(inputs[spec.name], spec.dtype) for spec in signature.inputs
    ]
    outputs = signature.function(*tensors)
    return {name: value.numpy() for name, value in outputs.items()}


def publish(
    export_dir: str,
    version: int | None,
    exported: Exported,
    reference: Mapping[str, Signature],
    exact: bool,
) -> str:
    """Writes a version to a hidden folder, checks it, and renames it.

    Args:
      export_dir: the folder of the versions.
      version: the number; None: the next free one, found after the check.
      exported: the model to write.
      reference: signatures with the expected outputs.
      exact: see `comparison.differences`.

    Returns:
      The folder of the version.

    Raises:
      UserError: the exported model differs from the reference, its number is
        taken, or it cannot be written.
    """
    written = "a version", export_dir, "the existing versions are retained"
    with writing(*written):
        os.makedirs(export_dir, exist_ok=True)  # fails before the rest
    inputs = examples.example_inputs(reference, examples.CHECK_CAPTIONS)
    expected = {k: outputs_of(v, inputs[k]) for k, v in reference.items()}
    archive = traced(exported)
    with (
        writing(*written),
        scratch.folder(export_dir, SCRATCH) as hidden,
    ):
        folder = os.path.join(hidden, "version")
        write(folder, archive, exported.signatures)
        faults = check(folder, inputs, expected, exact)
        target = new_target(export_dir, version)
        if faults:
            raise UserError(
                "the outputs of an exported model must equal those of the "
                f"workdir's model; {'; '.join(faults)}; version "
                f"{os.path.basename(target)} was not written; please report "
                "this"
            )
        os.rename(folder, target)
    return target


def new_target(export_dir: str, version: int | None) -> str:
    """The folder of the version to write; raises UserError if it exists.

    Args:
      export_dir: the folder of the versions, which may be missing.
      version: the number; None: one more than the highest, or 1.
    """
    folder = pathlib.Path(export_dir).absolute()
    if version is None:
        names = [path.name for path in folder.glob("*")]
        version = 1 + max((int(x) for x in names if x.isdecimal()), default=0)
    target = folder / str(version)
    if target.exists():
        raise UserError(
            f"--version must be new; {target} exists; choose another number, "
            "or none for the next free one"
        )
    return str(target)


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    if arguments:
        raise command.flags_only("export.saved_model", arguments)
    for name in ("workdir", "export_dir"):
        if not values[name].value:
            raise UserError(f"--{name} must name a folder; received none")
    if (
        values.model == "damsm"
        and values["checkpoint"].present
        and not Config.load(values.workdir).finetune_damsm
    ):
        raise UserError(
            "--checkpoint must not be given with --model=damsm unless the "
            "encoders were trained with the GAN; received "
            f"{values.checkpoint}"
        )
    # Outputs are compared to 1e-4, which needs the CPU's float32.
    with contextlib.suppress(RuntimeError):  # if TensorFlow is initialized
        tf.config.set_visible_devices([], "GPU")
    new_target(values.export_dir, values.version)  # fails before loading
    exact = values.precision == "float32"
    trained = read(values, "float32")
    served = trained if exact else read(values, POLICIES[values.precision])
    exported = exported_of(served, fused=True)
    reference = exported_of(trained).signatures
    target = publish(
        values.export_dir, values.version, exported, reference, exact
    )
    print(_next_commands(target, values.model))


def _next_commands(target: str, kind: str) -> str:
    base = shlex.quote(os.path.dirname(target))
    name = "attngan" if kind == "generator" else "attngan_damsm"
    which = f"--model_name={name} --model_base_path={base}"
    return (
        f"exported: {target}. To serve it:\n"
        f"  tensorflow_model_server --rest_api_port=8501 {which}\n"
        "or, on a machine without it:\n"
        f"  {sys.executable} -m export.serve {which}"
    )


if __name__ == "__main__":
    command.run(define_flags, main)
