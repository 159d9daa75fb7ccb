"""Checkpoints: what is saved of a stage, and how to go on from it.

TensorFlow's files have a checksum for each tensor. Before one is used, all of
them are read; of the last ones, the newest that is whole counts.
"""

import contextlib
import functools
import glob
import os
import shutil
import sys
from collections.abc import Iterable, Mapping

import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.io.disk import writing

VOCABULARY_SIZE = "vocabulary_size"  # name of a number in checkpoints
NAME = "ckpt"  # before the step's number
BEST_KEPT = 2  # the best one, and the one before it if that is damaged
_warned: set[str] = set()  # what this process has said of damaged ones


class Checkpoints:
    """Last and best checkpoints of one stage, and how to go on from them.

    Args:
      folder: where they lie; the best one is in its folder `best`.
      items: everything that a checkpoint holds, by name.
      keep: how many of the last to keep.
    """

    def __init__(self, folder: str, items: Mapping, keep: int):
        self.folder = folder
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_score = tf.Variable(
            float("-inf"), dtype=tf.float32, trainable=False
        )
        # The last step whose events, such as scoring, were done as well.
        self._done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.saved = 0  # the step of the last checkpoint, as far as known
        self._items = dict(items)
        self._checkpoint = tf.train.Checkpoint(
            step=self.step, best_score=self.best_score, done=self._done, **items
        )
        self._last = self._manager(folder, keep)
        self._best = self._manager(_best_folder(folder), BEST_KEPT)

    def _manager(self, folder: str, keep: int) -> tf.train.CheckpointManager:
        _tidy(folder)
        return tf.train.CheckpointManager(
            self._checkpoint, folder, keep, step_counter=self.step
        )

    def restore(self, step: int) -> None:
        """Goes on from the checkpoint of a step; 0 without one: as it is.

        Raises:
          UserError: there is none of that step.
        """
        path = _path(self.folder, step)
        if step:
            if not os.path.exists(path + ".index"):
                raise UserError(
                    f"all workers must go on from one step, {step}; "
                    f"{self.folder} has {_in_words(_steps(self.folder))}; copy "
                    f"{NAME}-{step}.* from another worker's folder"
                )
            self._checkpoint.restore(path).assert_consumed()
            self.saved = step
        elif os.path.exists(path + ".index"):
            self._restore_start(path)

    def _restore_start(self, path: str) -> None:
        """Takes the networks of a converted model, which has no optimizers."""
        names = {
            name.split("/")[0] for name, _ in tf.train.list_variables(path)
        }
        given = {k: v for k, v in self._items.items() if k in names}
        tf.train.Checkpoint(
            step=self.step, best_score=self.best_score, done=self._done, **given
        ).restore(path).assert_consumed()

    @property
    def events_done(self) -> bool:
        """Whether the events of the restored step were done as well."""
        return bool(self._done == self.step)

    def save(self, step: int, events_done: bool = True) -> None:
        """Writes everything as of `step`.

        Raises:
          UserError: a number is not finite, or the disk refuses; what was
            saved before is kept.
        """
        self._check_finite(step)
        self.step.assign(step)
        if events_done:
            self._done.assign(step)
        self._write(self._last, step)
        self.saved = step

    def _write(self, manager: tf.train.CheckpointManager, step: int) -> None:
        before = manager.latest_checkpoint
        kept = f"{before} is kept" if before else ""
        with writing(f"the checkpoint of step {step}", self.folder, kept):
            try:
                manager.save(checkpoint_number=step)
            except Exception:
                _tidy(manager.directory)  # half a checkpoint takes its room
                raise

    def _check_finite(self, step: int) -> None:
        """A loss may be finite while its gradient is not."""
        for name, item in self._items.items():
            for weight in getattr(item, "variables", ()):
                value = tf.convert_to_tensor(weight)
                if value.dtype.is_floating and not tf.reduce_all(
                    tf.math.is_finite(value)
                ):
                    raise UserError(
                        f"weights must be finite to be saved; those of {name} "
                        f"({weight.path}) are not after step {step}; the last "
                        "good checkpoint is kept; train in a new --workdir "
                        "with lower learning rates, or with "
                        "--precision=float32"
                    )

    def last_step(self) -> int:
        """The step of the newest checkpoint that is whole; 0 without one."""
        path = newest(self.folder)
        return step_of(path) if path else 0

    def offer(self, step: int, score: float) -> None:
        """Keeps this state as the best one if its score is the highest.

        Raises:
          UserError: as `save`.
        """
        before = self.best_score.numpy()
        if not score > before:
            return
        self._check_finite(step)
        self.best_score.assign(score)
        self.step.assign(step)
        try:
            self._write(self._best, step)
        except BaseException:  # cut off: the state still wants it written
            self.best_score.assign(before)
            raise


def step_of(path: str) -> int:
    """The step in a checkpoint's path."""
    return int(path.rsplit("-", 1)[1])


def exists(workdir: str, stage: str) -> bool:
    """Whether a stage has been trained and saved at least once."""
    return bool(steps(workdir, stage))


def steps(workdir: str, stage: str) -> list[int]:
    """The steps of a stage that there are checkpoints of, in order."""
    return _steps(os.path.join(workdir, stage))


def _steps(folder: str) -> list[int]:
    """Of TensorFlow's list, or of the files where that is damaged."""
    return _listed_steps(folder) or _written(folder)


def _listed_steps(folder: str) -> list[int]:
    """Of TensorFlow's list, which has no checksum; none if it has no sense."""
    try:
        state = tf.train.get_checkpoint_state(folder)
    except ValueError:  # an empty one
        state = None
    return _numbers(state.all_model_checkpoint_paths if state else ())


def _written(folder: str) -> list[int]:
    """Of the files: TensorFlow writes the index last."""
    found = glob.glob(_path(glob.escape(folder), "*") + ".index")
    return _numbers(path.removesuffix(".index") for path in found)


def _numbers(paths: Iterable[str]) -> list[int]:
    numbers = (path.rsplit("-", 1)[-1] for path in paths)
    return sorted(int(number) for number in numbers if number.isdigit())


def _path(folder: str, step: int | str) -> str:
    return os.path.join(folder, f"{NAME}-{step}")


def _best_folder(folder: str) -> str:
    return os.path.join(folder, "best")


def _in_words(found: list[int]) -> str:
    return f"steps {', '.join(map(str, found))}" if found else "none"


def _tidy(folder: str) -> None:
    """Removes what is no checkpoint's, and mends TensorFlow's list.

    A process that was killed leaves half a checkpoint, or a whole one that
    the list does not have yet. The list itself may be damaged. So what is
    whole stays, and the list follows the files.
    """
    listed, written = _listed_steps(folder), _written(folder)
    unlisted = [step for step in written if step not in listed]
    if listed:
        unlisted = [x for x in unlisted if not damage(_path(folder, x))]
    if unlisted:
        _list(folder, sorted({*unlisted, *listed} & {*written}))
    for path in glob.glob(_path(glob.escape(folder), "*")):
        name = os.path.basename(path)
        number = name.removeprefix(f"{NAME}-").split(".")[0].split("_")[0]
        if name.endswith("_temp"):
            shutil.rmtree(path, ignore_errors=True)
        elif number.isdigit() and int(number) not in {*listed, *unlisted}:
            with contextlib.suppress(OSError):
                os.remove(path)


def _list(folder: str, steps: list[int]) -> None:
    """Writes TensorFlow's list of a folder's checkpoints."""
    paths = [_path(folder, step) for step in steps]
    with writing("the list of checkpoints", folder):
        tf.compat.v1.train.update_checkpoint_state(
            folder,
            paths[-1],
            paths,
            all_model_checkpoint_timestamps=[
                os.path.getmtime(path + ".index") for path in paths
            ],
            last_preserved_timestamp=0.0,  # none is kept for ever
        )


def damage(path: str) -> str:
    """Why a checkpoint cannot be read, in words; "" if it is whole.

    All of it is read, and TensorFlow compares each tensor's checksum; once,
    while the files stay as they are.
    """
    return _damage(path, _stamps(path))


def _stamps(path: str) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of change of a checkpoint's files."""
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
    """The newest checkpoint of a folder that is whole; None without any.

    Each newer one is named on stderr, once.

    Raises:
      UserError: none of those there is whole.
    """
    found, damaged = _steps(folder), []
    for step in reversed(found):
        path = _path(folder, step)
        reason = damage(path)
        if not reason:
            _warn(damaged, f"step {step} is used instead")
            return path
        damaged.append(f"{path} is damaged ({reason})")
    _warn(damaged, "no other is there")
    if found:
        raise UserError(
            f"a checkpoint must be whole to go on from; {folder} has "
            f"{_in_words(found)}, all damaged; put them back from a copy, or "
            "remove the folder to begin that stage anew"
        )
    return None


def _warn(damaged: Iterable[str], instead: str) -> None:
    for text in damaged:
        line = f"warning: {text}; {instead}"
        if line not in _warned:
            _warned.add(line)
            print(line, file=sys.stderr)


def find(workdir: str, stage: str, which: str = "last") -> str:
    """The path of a checkpoint, whose checksums hold.

    Args:
      workdir: a run's folder.
      stage: damsm or gan.
      which: last or best: the newest of these that is whole, with a warning
        for each that is not; or the number of a step.

    Raises:
      UserError: there is none, with what there is; or it is damaged.
    """
    folder = os.path.join(workdir, stage)
    if which in ("last", "best"):
        path = newest(folder if which == "last" else _best_folder(folder))
    else:
        path = _path(folder, which)
        path = path if os.path.exists(path + ".index") else None
    if path is None:
        found = ", ".join(map(str, steps(workdir, stage))) or "none"
        wanted = "name one of these"
        if which in ("last", "best") or found == "none":
            wanted = "train that stage first"
        raise UserError(
            f"{workdir} has no checkpoint {which!r} of stage {stage}; steps "
            f"found: {found}; {wanted}"
        )
    if which not in ("last", "best") and (reason := damage(path)):
        raise UserError(
            f"a checkpoint must be whole; {path} is damaged ({reason}); put "
            f"it back from a copy, or use another of stage {stage}: "
            f"{_in_words(steps(workdir, stage))}"
        )
    return path


def restore_part(path: str, **networks: tf.keras.Model) -> None:
    """Restores networks, built before, from a checkpoint that has more.

    Raises:
      UserError: the checkpoint lacks a weight, or has it in another shape.
    """
    try:
        status = tf.train.Checkpoint(**networks).restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise UserError(
            f"the checkpoint {path} does not fit this workdir's config.json: "
            f"{str(error).splitlines()[0]}; put back the configuration it "
            "was trained with"
        ) from None
