"""python -m export.saved_model: a workdir's model for TensorFlow Serving."""

import contextlib
import errno
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import NamedTuple

import keras
import tensorflow as tf
from absl import flags

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.io import scratch
from attngan_tf.io.disk import writing
from attngan_tf.models import build
from attngan_tf.models.layers.fusion import fuse_batch_norm
from attngan_tf.sampling import Sampler
from attngan_tf.text_to_image import Encoders, Model, load, load_encoders
from export import comparison, examples, session_gate
from export.serving import warmup
from export.signatures import (
    Signature,
    damsm_signatures,
    generator_signatures,
)

SCRATCH = ".writing-"  # begins the names of versions that are written
LARGEST_VERSION = 2**63 - 1
POLICIES = {"float32": "float32", "bf16": "mixed_bfloat16"}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    common = {"flag_values": values}
    command.define_model_flags(values)
    flags.DEFINE_string(
        "export_dir",
        None,
        "the model's folder, the server's --model_base_path; a version is a "
        "folder in it",
        **common,
    )
    flags.DEFINE_enum(
        "model",
        "generator",
        ["generator", "damsm"],
        "generator: pictures for captions; damsm: how well pictures and "
        "captions fit",
        **common,
    )
    flags.DEFINE_integer(
        "version",
        None,
        "number of the version; without it, one more than the last",
        lower_bound=1,
        upper_bound=LARGEST_VERSION,
        **common,
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        list(POLICIES),
        "of the exported graph; outputs are float32 either way. bf16 is for "
        "CPUs with AMX and for GPUs",
        **common,
    )


class Exported(NamedTuple):
    """What a version is written from."""

    vocabulary: Vocabulary
    signatures: Mapping[str, Signature]


def read(values: flags.FlagValues, precision: str) -> Model | Encoders:
    """A workdir's model, as `--model` names its kind.

    Args:
      values: the parsed flags.
      precision: a key of POLICIES.

    Raises:
      UserError: the workdir does not hold such a model.
    """
    policy = POLICIES[precision]
    if values.model == "damsm":
        return load_encoders(values.workdir, False, policy, values.checkpoint)
    return load(values.workdir, values.checkpoint, False, policy)


def exported_of(trained: Model | Encoders, folded: bool = False) -> Exported:
    """What a model is exported as.

    Args:
      trained: the model.
      folded: whether BN becomes a part of the generator's convolutions.
    """
    if isinstance(trained, Encoders):
        vocabulary = trained.caption_encoder.vocabulary
        return Exported(vocabulary, damsm_signatures(trained))
    sampler = folded_sampler(trained) if folded else trained.sampler
    return Exported(sampler.vocabulary, generator_signatures(sampler))


def folded_sampler(model: Model) -> Sampler:
    """The model's sampler with BN folded into the convolutions."""
    generator = build.generator(model.config, fused=True)
    fuse_batch_norm(model.sampler.generator, generator)
    return Sampler(
        caption_encoder=model.sampler,
        generator=generator,
        condition_noise=model.sampler.condition_noise,
    )


def free_version(export_dir: str) -> int:
    """One more than the highest version in a folder, which need not exist."""
    names = os.listdir(export_dir) if os.path.exists(export_dir) else []
    versions = [int(name) for name in names if name.isdecimal()]
    # A server's versions have 64 bits.
    known = [version for version in versions if version < LARGEST_VERSION]
    return max(known, default=0) + 1


def traced(exported: Exported) -> keras.export.ExportArchive:
    """What `write` writes, before anything is written."""
    vocabulary, signatures = exported
    archive = keras.export.ExportArchive()
    # Only the tables: a tracked network is written twice.
    archive.track(vocabulary.ids_table)
    archive.track(vocabulary.words_table)
    for name, signature in signatures.items():
        endpoint = archive.add_endpoint(
            name, signature.function, signature.inputs
        )
        endpoint.get_concrete_function()  # traces; `write_out` would
    return archive


def write(
    folder: str,
    archive: keras.export.ExportArchive,
    signatures: Mapping[str, Signature],
) -> None:
    """Writes a SavedModel with its warm-up requests."""
    # Nobody trains it: gradients would be a fifth of the graph.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(folder, options, verbose=False)
    warm_up = os.path.join(folder, warmup.FILE)
    os.makedirs(os.path.dirname(warm_up), exist_ok=True)
    inputs = examples.example_inputs(signatures, examples.WARM_UP_CAPTIONS)
    examples.write_requests(warm_up, inputs)


def check(
    folder: str, reference: Mapping[str, Signature], exact: bool
) -> list[str]:
    """What differs between a SavedModel and functions of the same names.

    The SavedModel is loaded in a fresh process, by the loader that TensorFlow
    Serving uses.

    Raises:
      UserError: there is no room for requests and answers.
    """
    inputs = examples.example_inputs(reference, examples.CHECK_CAPTIONS)
    with contextlib.ExitStack() as stack:
        with writing("requests to check a version", tempfile.gettempdir()):
            home = stack.enter_context(tempfile.TemporaryDirectory())
            asked = os.path.join(home, "requests")
            examples.write_requests(asked, inputs)
        answered = os.path.join(home, "answers")
        gate = subprocess.run(
            [sys.executable, session_gate.__file__, folder, asked, answered],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if gate.returncode:
            lines = gate.stderr.strip().splitlines() or ["no reason given"]
            return [f"it does not load or answer: {lines[-1]}"]
        found = examples.read_answers(answered)
    expected = {
        name: _call(signature, inputs[name])
        for name, signature in reference.items()
    }
    return comparison.differences(expected, found, exact)


def _call(signature: Signature, inputs: examples.Inputs) -> examples.Inputs:
    """The signature's function, run here."""
    tensors = [
        tf.constant(inputs[spec.name], spec.dtype) for spec in signature.inputs
    ]
    outputs = signature.function(*tensors)
    return {name: value.numpy() for name, value in outputs.items()}


def publish(
    target: str,
    exported: Exported,
    reference: Mapping[str, Signature],
    exact: bool,
    version: int | None = None,
) -> str:
    """Writes a version beside its place, checks it, and renames it there.

    Args:
      target: the folder of the version.
      exported: written.
      reference: see `check`.
      exact: see `comparison.differences`.
      version: its number; None: the next one, where another export took
        `target` meanwhile.

    Returns:
      The folder of the version.

    Raises:
      UserError: the exported model does not do what the reference does, its
        number is taken, or it cannot be written.
    """
    base = os.path.dirname(target)
    try:
        os.makedirs(base, exist_ok=True)
    except OSError as error:
        raise _not_writable(error) from None
    archive = traced(exported)

    def to_base():
        kept = "the versions that are there are kept"
        return writing("a version", base, kept)

    with contextlib.ExitStack() as stack:
        with to_base():
            folder = stack.enter_context(scratch.folder(base, SCRATCH))
            write(folder, archive, exported.signatures)
        faults = check(folder, reference, exact)
        if faults:
            raise UserError(
                "an exported model must do what its workdir's does; "
                f"{'; '.join(faults)}; version {os.path.basename(target)} was "
                "removed; please report this"
            )
        with to_base():
            return _rename(folder, target, version)


def _rename(folder: str, target: str, version: int | None) -> str:
    """Gives a version its place, and returns that; see `publish`."""
    os.chmod(folder, 0o755)  # it was for the owner only
    while True:
        try:
            os.rename(folder, target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            target = new_target(os.path.dirname(target), version)


def new_target(export_dir: str, version: int | None) -> str:
    """The folder of the version to write; raises UserError if it is there."""
    try:
        number = version or free_version(export_dir)
    except OSError as error:
        raise _not_writable(error) from None
    target = os.path.join(os.path.abspath(export_dir), str(number))
    if os.path.exists(target):
        raise UserError(
            f"--version must be new; {target} is there already; name another "
            "number, or none for the next free one"
        )
    return target


def _not_writable(error: OSError) -> UserError:
    return UserError(
        f"--export_dir must be a folder that can be written; {error}"
    )


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command."""
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
            "--checkpoint must be left out with --model=damsm, which is the "
            f"best one of its own training; received {values.checkpoint}"
        )
    # Pictures are compared to 1e-4: on a CPU, where float32 is float32.
    with contextlib.suppress(RuntimeError):  # TensorFlow has begun
        tf.config.set_visible_devices([], "GPU")
    target = new_target(values.export_dir, values.version)
    exact = values.precision == "float32"
    trained = read(values, "float32")
    served = trained if exact else read(values, values.precision)
    exported = exported_of(served, folded=True)
    reference = exported_of(trained).signatures
    target = publish(target, exported, reference, exact, values.version)
    print(_next_commands(target, values.model))


def _next_commands(target: str, kind: str) -> str:
    base = shlex.quote(os.path.dirname(target))
    name = "attngan" if kind == "generator" else "attngan_damsm"
    lines = [f"exported: {target}. To serve it:"]
    lines += [
        f"  tensorflow_model_server --rest_api_port=8501 --model_name={name} "
        f"--model_base_path={base}",
        "or, where there is no such server:",
        f"  {sys.executable} -m export.serve --model_name={name} "
        f"--model_base_path={base}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(define_flags, main)
