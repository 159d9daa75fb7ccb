"""Finding, verifying and restoring checkpoints.

TensorFlow's files have a checksum for each tensor, which is compared when the
tensor is read. Instead of a damaged checkpoint, the one before it is used.
"""

import contextlib
import functools
import glob
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import tensorflow as tf

from attngan_tf.errors import UserError

T = TypeVar("T")
VOCABULARY_SIZE = "vocabulary_size"  # name of a number in checkpoints
NAME = "ckpt"  # before the step's number
_warned: set[str] = set()  # warnings that this process has printed


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


def listed(found: list[int]) -> str:
    """Steps as text, such as "steps 2, 4"."""
    return f"steps {', '.join(map(str, found))}" if found else "none"


def damage(path: str) -> str:
    """Why a checkpoint cannot be read; "" if it is undamaged.

    The whole checkpoint is read, and TensorFlow compares the checksum of each
    tensor. The result is cached until the files change.
    """
    return _damage(path, _stamps(path))


def _stamps(path: str) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a checkpoint's files: the key of the cache."""
    found = []
    for file in sorted(glob.glob(glob.escape(path) + ".*")):
        with contextlib.suppress(OSError):  # removed since
            state = os.stat(file)
            found.append((file, state.st_size, state.st_mtime_ns))
    return tuple(found)


@functools.lru_cache(maxsize=64)
def _damage(path: str, stamps) -> str:
    del stamps
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return ""


def newest(folder: str) -> str | None:
    """The newest undamaged checkpoint of a folder; None if there is none.

    A warning on stderr names each newer, damaged one, once per process.

    Raises:
      UserError: all checkpoints of the folder are damaged.
    """
    found = _newest_first(folder)
    return _first(found, _check_whole) if found else None


def _newest_first(folder: str) -> list[str]:
    """The paths of a folder's checkpoints, newest first."""
    return [path_of(folder, step) for step in reversed(folder_steps(folder))]


class _DamagedError(Exception):
    """A checkpoint cannot be read; its text is the reason."""


def _check_whole(path: str) -> str:
    """The path; raises _DamagedError if the checkpoint is damaged."""
    reason = damage(path)
    if reason:
        raise _DamagedError(reason)
    return path


def _first(candidates: Sequence[str], function: Callable[[str], T]) -> T:
    """Returns what a function returns for the first undamaged path.

    Raises:
      UserError: all are damaged.
    """
    damaged = []
    for path in candidates:
        try:
            found = function(path)
        except _DamagedError as error:
            damaged.append(f"{path} is damaged ({error})")
        else:
            _warn(damaged, f"using step {step_of(path)} instead")
            return found
    _warn(damaged, "there is no other one")
    folder = os.path.dirname(candidates[0])
    found = listed(sorted(map(step_of, candidates)))
    raise UserError(
        f"a checkpoint must be undamaged to resume from; {folder} has {found}, "
        "all damaged; restore them from a copy, or remove the folder to train "
        "that stage again"
    )


def _warn(damaged: Iterable[str], instead: str) -> None:
    """Prints each warning once, however often a checkpoint is looked for."""
    for text in damaged:
        line = f"warning: {text}; {instead}"
        if line not in _warned:
            _warned.add(line)
            print(line, file=sys.stderr)


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
    """The path of an undamaged checkpoint; arguments as for `read`."""
    return read(_check_whole, workdir, stage, which)


def read(
    function: Callable[[str], T], workdir: str, stage: str, which: str = "last"
) -> T:
    """Returns what a function returns for the path of a checkpoint.

    Args:
      function: reads the checkpoint at a path.
      workdir: a run's folder.
      stage: damsm or gan.
      which: last or best, for the newest undamaged one, with a warning about
        each newer one; or the number of a step.

    Raises:
      UserError: there is none, or it is damaged.
    """
    found = paths(workdir, stage, which)
    if which in ("last", "best"):
        return _first(found, function)
    (path,) = found
    try:
        return function(path)
    except _DamagedError as error:
        raise UserError(
            f"a checkpoint must be undamaged; {path} is damaged ({error}); "
            f"restore it from a copy, or use another of stage {stage}: "
            f"{listed(steps(workdir, stage))}"
        ) from None


def restore(
    workdir: str, stage: str, which: str, **networks: tf.keras.Model
) -> int:
    """Restores built networks from a checkpoint, which may contain more.

    The checksums of the tensors that are read are verified in the same pass.

    Returns:
      The checkpoint's step.

    Raises:
      UserError: as for `read`; or a weight is missing or has another shape.
    """

    def restore_from(path: str) -> int:
        try:
            restore_part(path, **networks)
        except (UserError, tf.errors.OpError, LookupError, RuntimeError):
            _check_whole(path)
            raise
        return step_of(path)

    return read(restore_from, workdir, stage, which)


def restore_part(path: str, **networks: tf.keras.Model) -> None:
    """Restores built networks from a checkpoint, which may contain more.

    Raises:
      UserError: a weight is missing from the checkpoint or has another shape.
    """
    try:
        status = tf.train.Checkpoint(**networks).restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise UserError(
            f"the checkpoint {path} does not fit this workdir's config.json: "
            f"{str(error).splitlines()[0]}; restore the configuration it was "
            "trained with"
        ) from None


def vocabulary_size(workdir: str) -> int:
    """Number of words that the text encoder of a workdir was trained with."""

    def size(path: str) -> int:
        try:
            reader = tf.train.load_checkpoint(path)
            name = f"{VOCABULARY_SIZE}/.ATTRIBUTES/VARIABLE_VALUE"
            return int(reader.get_tensor(name))
        except (tf.errors.OpError, LookupError, ValueError, RuntimeError):
            _check_whole(path)
            raise

    return read(size, workdir, "damsm", "best")
