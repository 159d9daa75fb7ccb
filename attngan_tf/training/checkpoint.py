"""A run's folder: configuration, checkpoints, and what must fit them."""

import contextlib
import fcntl
import importlib.metadata
import os
from collections.abc import Iterator, Mapping

import tensorflow as tf

import attngan_tf
from attngan_tf.config import CONFIG_FILE, Config, UserError
from attngan_tf.data.text import Vocabulary

DONE_FILE = "DONE"
LOCK_FILE = ".lock"  # held by the process that trains
VOCABULARY_SIZE = "vocabulary_size"  # name of a number in checkpoints


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    found = {
        name: importlib.metadata.version(name)
        for name in ("tensorflow", "keras")
    }
    return found | {"attngan_tf": attngan_tf.__version__}


def open_workdir(config: Config) -> None:
    """Makes the workdir, or checks that it belongs to this configuration.

    The configuration is not written yet: see `claim_workdir`.

    Raises:
      UserError: the workdir was made with another configuration; the fields
        that differ are listed.
    """
    try:
        os.makedirs(config.workdir, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--workdir must be a folder that can be written; {error}"
        ) from None
    if os.path.exists(os.path.join(config.workdir, CONFIG_FILE)):
        differing = config.differences(Config.load(config.workdir))
        if differing:
            raise UserError(
                f"--workdir={config.workdir} belongs to another "
                f"configuration ({'; '.join(differing)}); name another "
                "workdir, or go on with its own settings"
            )


def claim_workdir(config: Config) -> None:
    """Writes the configuration, once the data and the encoders fit it.

    A run that ended before, by a mistake in a flag, binds the folder to
    nothing. A run that goes on is not done any more.
    """
    config.save(config.workdir, versions())
    done = os.path.join(config.workdir, DONE_FILE)
    if os.path.exists(done):
        os.remove(done)


@contextlib.contextmanager
def alone(workdir: str) -> Iterator[None]:
    """Keeps a second training out of a workdir while the block runs.

    Raises:
      UserError: another process trains there.
    """
    with open(os.path.join(workdir, LOCK_FILE), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--workdir={workdir} must be free; another process trains "
                "there; wait for its end, or name another folder"
            ) from None
        yield


class Checkpoints:
    """Last and best checkpoints of one stage, and how to go on from them.

    Args:
      folder: where they lie; the best one is in its folder `best`.
      items: everything that a checkpoint holds, by name.
      keep: how many of the last to keep.
    """

    def __init__(self, folder: str, items: Mapping, keep: int):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_score = tf.Variable(
            float("-inf"), dtype=tf.float32, trainable=False
        )
        self._items = dict(items)
        self._checkpoint = tf.train.Checkpoint(
            step=self.step, best_score=self.best_score, **items
        )
        self._last = tf.train.CheckpointManager(
            self._checkpoint, folder, keep, step_counter=self.step
        )
        self._best = tf.train.CheckpointManager(
            self._checkpoint,
            os.path.join(folder, "best"),
            1,
            step_counter=self.step,
        )

    def restore(self) -> int:
        """Goes on from the last checkpoint, if any; returns its step."""
        path = self._last.latest_checkpoint
        if path and self.last_step():
            self._checkpoint.restore(path).assert_consumed()
        elif path:
            self._restore_start(path)
        return int(self.step.numpy())

    def _restore_start(self, path: str) -> None:
        """Takes the networks of a converted model, which has no optimizers."""
        names = {
            name.split("/")[0] for name, _ in tf.train.list_variables(path)
        }
        given = {k: v for k, v in self._items.items() if k in names}
        tf.train.Checkpoint(
            step=self.step, best_score=self.best_score, **given
        ).restore(path).assert_consumed()

    def save(self, step: int) -> None:
        """Writes everything as of `step`; raises UserError as `offer`."""
        self._check_finite(step)
        self.step.assign(step)
        self._last.save(checkpoint_number=step)

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
        """The step of the last checkpoint; 0 without one."""
        path = self._last.latest_checkpoint
        return int(path.rsplit("-", 1)[1]) if path else 0

    def offer(self, step: int, score: float) -> None:
        """Keeps this state as the best one if its score is the highest.

        Raises:
          UserError: a number of the state is not finite.
        """
        if score > self.best_score.numpy():
            self._check_finite(step)
            self.best_score.assign(score)
            self.step.assign(step)
            self._best.save(checkpoint_number=step)


def exists(workdir: str, stage: str) -> bool:
    """Whether a stage has been trained and saved at least once."""
    return tf.train.latest_checkpoint(os.path.join(workdir, stage)) is not None


def steps(workdir: str, stage: str) -> list[int]:
    """The steps of a stage that there are checkpoints of, in order."""
    state = tf.train.get_checkpoint_state(os.path.join(workdir, stage))
    paths = state.all_model_checkpoint_paths if state else []
    return sorted(int(path.rsplit("-", 1)[1]) for path in paths)


def find(workdir: str, stage: str, which: str = "last") -> str:
    """The path of a checkpoint.

    Args:
      workdir: a run's folder.
      stage: damsm or gan.
      which: last, best, or the number of a step.

    Raises:
      UserError: there is none; what there is is listed.
    """
    folder = os.path.join(workdir, stage)
    if which == "last":
        path = tf.train.latest_checkpoint(folder)
    elif which == "best":
        path = tf.train.latest_checkpoint(os.path.join(folder, "best"))
    else:
        path = os.path.join(folder, f"ckpt-{which}")
        path = path if os.path.exists(path + ".index") else None
    if path is None:
        found = ", ".join(map(str, steps(workdir, stage))) or "none"
        raise UserError(
            f"{workdir} has no checkpoint {which!r} of stage {stage}; steps "
            f"found: {found}; train that stage first"
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


def check_vocabulary(vocabulary: Vocabulary, path: str, workdir: str) -> None:
    """Raises UserError unless the words are as many as the embeddings."""
    reader = tf.train.load_checkpoint(path)
    rows = reader.get_tensor(f"{VOCABULARY_SIZE}/.ATTRIBUTES/VARIABLE_VALUE")
    if rows != len(vocabulary):
        raise UserError(
            f"vocab.txt of {workdir} must have as many words as its text "
            f"encoder has embeddings; received {len(vocabulary)} words and "
            f"{rows} embeddings; put back the file the encoder was trained "
            "with"
        )
