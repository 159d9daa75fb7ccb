"""Saving and resuming one stage of training."""

import contextlib
import glob
import os
import re
import shutil
from collections.abc import Mapping

import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.io.disk import writing
from attngan_tf.runs import checkpoint

BEST_RETAINED = 2  # the best, and the previous best in case of damage


class Checkpoints:
    """The last and the best checkpoints of one stage of training.

    Args:
      folder: folder of the checkpoints; the best ones are in its `best`.
      items: everything that a checkpoint holds, by name.
      keep: number of the last checkpoints that are retained.
    """

    def __init__(self, folder: str, items: Mapping, keep: int):
        self.folder = folder
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_score = tf.Variable(
            float("-inf"), dtype=tf.float32, trainable=False
        )
        # The last saved step whose events, such as scoring, had ended.
        self._done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.saved = 0  # the step that was last restored or saved
        self._items = dict(items)
        self._checkpoint = tf.train.Checkpoint(
            step=self.step, best_score=self.best_score, done=self._done, **items
        )
        self._last = self._manager(folder, keep)
        self._best = self._manager(
            checkpoint.best_folder(folder), BEST_RETAINED
        )

    def _manager(self, folder: str, keep: int) -> tf.train.CheckpointManager:
        _tidy(folder)
        return tf.train.CheckpointManager(
            self._checkpoint, folder, keep, step_counter=self.step
        )

    def restore(self, step: int) -> None:
        """Restores the checkpoint of a step; step 0 restores a converted model.

        Raises:
          UserError: there is no checkpoint of that step, which can happen if
            another worker was killed.
        """
        path = checkpoint.path_of(self.folder, step)
        if step:
            if not os.path.exists(path + ".index"):
                found = checkpoint.folder_steps(self.folder)
                raise UserError(
                    f"all workers must resume from one step, {step}; "
                    f"{self.folder} has {checkpoint.listed(found)}; copy "
                    f"{checkpoint.NAME}-{step}.* from another worker's folder"
                )
            self._checkpoint.restore(path).assert_consumed()
            self.saved = step
        elif os.path.exists(path + ".index"):
            self._restore_start(path)

    def _restore_start(self, path: str) -> None:
        """Restores the networks of a converted model; it has no optimizers."""
        names = {
            name.split("/")[0] for name, _ in tf.train.list_variables(path)
        }
        given = {k: v for k, v in self._items.items() if k in names}
        tf.train.Checkpoint(
            step=self.step, best_score=self.best_score, done=self._done, **given
        ).restore(path).assert_consumed()

    @property
    def events_done(self) -> bool:
        """Whether the events of the restored step had ended as well.

        Otherwise, after an interrupted scoring, they are repeated.
        """
        return bool(self._done == self.step)

    def save(self, step: int, events_done: bool = True) -> None:
        """Writes the state of `step`.

        Raises:
          UserError: a weight is not finite, or the disk cannot be written;
            earlier checkpoints are retained.
        """
        self._check_finite(step)
        self.step.assign(step)
        if events_done:
            self._done.assign(step)
        self._write(self._last, step)
        self.saved = step

    def _write(self, manager: tf.train.CheckpointManager, step: int) -> None:
        before = manager.latest_checkpoint
        retained = f"{before} is retained" if before else ""
        with writing(f"the checkpoint of step {step}", self.folder, retained):
            try:
                manager.save(checkpoint_number=step)
            except Exception:
                _tidy(manager.directory)  # a partial file takes disk space
                raise

    def _check_finite(self, step: int) -> None:
        """Rejects NaN weights: a finite loss can have a gradient of NaN."""
        for name, item in self._items.items():
            for weight in getattr(item, "variables", ()):
                value = tf.convert_to_tensor(weight)
                if value.dtype.is_floating and not tf.reduce_all(
                    tf.math.is_finite(value)
                ):
                    raise UserError(
                        f"weights must be finite to be saved; those of {name} "
                        f"({weight.path}) are not after step {step}; the last "
                        "good checkpoint is retained; train in a new --workdir "
                        "with lower learning rates, or with "
                        "--precision=float32"
                    )

    def last_step(self) -> int:
        """The step of the newest undamaged checkpoint; 0 without one."""
        path = checkpoint.newest(self.folder)
        return checkpoint.step_of(path) if path else 0

    def offer(self, step: int, score: float) -> None:
        """Saves this state as the best one if its score is the highest.

        Raises:
          UserError: as for `save`.
        """
        before = self.best_score.numpy()
        if not score > before:
            return
        self._check_finite(step)
        self.best_score.assign(score)
        self.step.assign(step)
        try:
            self._write(self._best, step)
        except BaseException:  # also if interrupted: it is not written yet
            self.best_score.assign(before)
            raise


def _tidy(folder: str) -> None:
    """Removes partial checkpoints, and repairs TensorFlow's list.

    A killed process may leave part of a checkpoint, or a complete one that is
    not in the list yet. The list itself may be damaged, in which case
    TensorFlow would start at step 0. The list is rewritten from the files.
    """
    listed = checkpoint.listed_steps(folder)
    complete = {
        step
        for step in checkpoint.written(folder)
        if not listed
        or step in listed
        or not checkpoint.damage(checkpoint.path_of(folder, step))
    }
    if not complete <= {*listed}:
        _list(folder, sorted(complete))
    pattern = checkpoint.path_of(glob.escape(folder), "[0-9]*")
    for path in glob.glob(pattern):
        number = re.match(r"\D+(\d+)", os.path.basename(path))[1]
        if path.endswith("_temp"):
            shutil.rmtree(path, ignore_errors=True)
        elif int(number) not in complete.union(listed):
            with contextlib.suppress(OSError):
                os.remove(path)


def _list(folder: str, steps: list[int]) -> None:
    """Writes TensorFlow's list of a folder's checkpoints."""
    paths = [checkpoint.path_of(folder, step) for step in steps]
    with writing("the list of checkpoints", folder):
        tf.compat.v1.train.update_checkpoint_state(
            folder,
            paths[-1],
            paths,
            all_model_checkpoint_timestamps=[
                os.path.getmtime(path + ".index") for path in paths
            ],
            last_preserved_timestamp=0.0,
        )
