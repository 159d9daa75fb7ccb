"""Finding, verifying and restoring checkpoints.

TensorFlow's files have a checksum for each tensor, which is compared when the
tensor is read. Instead of a damaged checkpoint, the one before it is used.
"""

import functools
import glob
import os
import sys
from collections.abc import Iterable, Sequence

import tensorflow as tf

from attngan_tf.errors import UserError

VOCABULARY_SIZE = "vocabulary_size"  # name of a number in checkpoints
NAME = "ckpt"  # before the step's number


def step_of(path: str) -> int:
    """The step in a checkpoint's path."""
    return int(path.rsplit("-", 1)[1])


def exists(workdir: str, stage: str) -> bool:
    """Whether a stage has a checkpoint."""
    return bool(steps(workdir, stage))


def steps(workdir: str, stage: str) -> list[int]:
    """The steps of a stage that have a checkpoint, in order."""
    return folder_steps(os.path.join(workdir, stage))


def folder_steps(folder: str) -> list[int]:
    """The steps in TensorFlow's list; if it is damaged, those of the files."""
    return listed_steps(folder) or written(folder)


def listed_steps(folder: str) -> list[int]:
    """The steps in TensorFlow's list, which has no checksum; [] if damaged."""
    try:
        state = tf.train.get_checkpoint_state(folder)
    except ValueError:  # an empty list
        state = None
    return _numbers(state.all_model_checkpoint_paths if state else ())


def written(folder: str) -> list[int]:
    """The steps of complete files: TensorFlow writes the index last."""
    found = glob.glob(path_of(glob.escape(folder), "*") + ".index")
    return _numbers(path.removesuffix(".index") for path in found)


def _numbers(paths: Iterable[str]) -> list[int]:
    """The steps in paths; names of a damaged list have none."""
    numbers = (path.rsplit("-", 1)[-1] for path in paths)
    return sorted(int(number) for number in numbers if number.isdigit())


def path_of(folder: str, step: int | str) -> str:
    """The path of a step's checkpoint, without the suffixes of its files."""
    return os.path.join(folder, f"{NAME}-{step}")


def best_folder(folder: str) -> str:
    """The folder of a stage's best checkpoints."""
    return os.path.join(folder, "best")


def best_encoders(workdir: str) -> str:
    """The folder of a workdir's best encoders, trained or copied."""
    return best_folder(os.path.join(workdir, "damsm"))


def listed(found: list[int]) -> str:
    """Steps as text, such as "steps 2, 4"."""
    return f"steps {', '.join(map(str, found))}" if found else "none"


def damage(path: str) -> str:
    """Why a checkpoint cannot be read; "" if it is undamaged.

    The whole checkpoint is read, and TensorFlow compares the checksum of each
    tensor.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return ""


def newest(folder: str) -> str | None:
    """The newest undamaged checkpoint of a folder; None if there is none.

    A warning on stderr names each newer, damaged one.

    Raises:
      UserError: all checkpoints of the folder are damaged.
    """
    found = _newest_first(folder)
    return _first_undamaged(found) if found else None


def _newest_first(folder: str) -> list[str]:
    """The paths of a folder's checkpoints, newest first."""
    return [path_of(folder, step) for step in reversed(folder_steps(folder))]


def _first_undamaged(candidates: Sequence[str]) -> str:
    for path in candidates:
        reason = damage(path)
        if not reason:
            return path
        _warn(f"{path} is damaged ({reason}) and is not used")
    found = listed(sorted(map(step_of, candidates)))
    raise UserError(
        "a checkpoint must be undamaged; damaged in "
        f"{os.path.dirname(candidates[0])}: {found}; restore from a copy, use "
        "another checkpoint, or remove the folder to train that stage again"
    )


@functools.cache  # prints each warning once
def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def paths(workdir: str, stage: str, which: str = "last") -> list[str]:
    """Checkpoints that may serve as `which`, the first choice first.

    Args:
      workdir: a run's folder.
      stage: damsm or gan.
      which: last or best, of which the newest comes first; or the number of
        a step.

    Raises:
      UserError: there is none; the steps found are listed.
    """
    folder = os.path.join(workdir, stage)
    if which == "last":
        found = _newest_first(folder)
    elif which == "best":
        found = _newest_first(best_folder(folder))
    else:
        path = path_of(folder, which)
        found = [path] if os.path.exists(path + ".index") else []
    if found:
        return found
    there = ", ".join(map(str, steps(workdir, stage))) or "none"
    wanted = "name one of these"
    if which in ("last", "best") or there == "none":
        wanted = "train that stage first"
    raise UserError(
        f"{workdir} has no checkpoint {which!r} of stage {stage}; steps "
        f"found: {there}; {wanted}"
    )


def find(workdir: str, stage: str, which: str = "last") -> str:
    """The path of an undamaged checkpoint; arguments as for `paths`.

    A warning on stderr names each damaged one before it.

    Raises:
      UserError: there is none, or all are damaged.
    """
    return _first_undamaged(paths(workdir, stage, which))


def restore(
    workdir: str, stage: str, which: str, **networks: tf.keras.Model
) -> int:
    """Restores built networks; arguments as for `paths`.

    A checkpoint may contain more; only what is restored is read and verified.

    Returns:
      The checkpoint's step.

    Raises:
      UserError: as for `find`; or a weight is missing or has another shape.
    """
    candidates = paths(workdir, stage, which)
    path = candidates[0]
    try:
        restore_part(path, **networks)
    except (UserError, tf.errors.OpError, LookupError, RuntimeError):
        path = _first_undamaged(candidates)
        if path == candidates[0]:
            raise
        restore_part(path, **networks)
    return step_of(path)


def restore_part(path: str, **networks: tf.keras.Model) -> None:
    """Restores built networks from a checkpoint's path; see `restore`."""
    try:
        status = tf.train.Checkpoint(**networks).restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise UserError(
            f"the checkpoint {path} does not fit this workdir's config.json: "
            f"{str(error).splitlines()[0]}; restore the configuration it was "
            "trained with"
        ) from None


def parts(path: str) -> set[str]:
    """Names of the networks and numbers in a checkpoint."""
    return {name.split("/")[0] for name, _ in tf.train.list_variables(path)}


def vocabulary_size(workdir: str) -> int:
    """Number of words that the text encoder of a workdir was trained with."""
    candidates = paths(workdir, "damsm", "best")
    try:
        return _vocabulary_size(candidates[0])
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError):
        return _vocabulary_size(_first_undamaged(candidates))


def _vocabulary_size(path: str) -> int:
    reader = tf.train.load_checkpoint(path)
    name = f"{VOCABULARY_SIZE}/.ATTRIBUTES/VARIABLE_VALUE"
    return int(reader.get_tensor(name))
