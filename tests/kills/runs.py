"""A run that is killed again and again, beside one that is left alone."""

import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tests.kills import moments
from tests.kills.moments import Moment

# How often was saved, and the step whose events were done at the last time:
# an interruption may change them. And the objects' names.
NO_STATE = ("save_counter/", "done/", "_CHECKPOINTABLE_OBJECT_GRAPH")


class Kill(NamedTuple):
    """A process that was killed.

    Fields:
      moment: when, in words.
      reported: the last step of each stage that metrics.jsonl tells.
      saved: the step of each stage's newest checkpoint.
    """

    moment: str
    reported: dict[str, int]
    saved: dict[str, int]


def start(module: str, flags: Sequence[str], log) -> subprocess.Popen:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *flags], stdout=log, stderr=log
    )


def run(module: str, flags: Sequence[str], log: pathlib.Path) -> None:
    """A command that nobody kills; raises if it fails."""
    with open(log, "a") as file:
        code = start(module, flags, file).wait()
    if code:
        raise AssertionError(f"{module} ended with {code}; see {log}")


def kill_at(
    moment: Moment,
    module: str,
    flags: Sequence[str],
    workdir: pathlib.Path,
    log: pathlib.Path,
) -> Kill | None:
    """Starts a command and kills it; None if it ended before the moment."""
    with open(log, "a") as file:
        process = start(module, flags, file)
        if not moments.wait(moment, process):
            if process.returncode:
                raise AssertionError(
                    f"{module} ended with {process.returncode}; see {log}"
                )
            return None
        process.send_signal(signal.SIGKILL)
        process.wait()
    return Kill(moment.name, reported(workdir), moments.newest(workdir))


def train_killed(
    planned: Iterable[Moment],
    flags: Sequence[str],
    workdir: pathlib.Path,
    log: pathlib.Path,
) -> Iterator[Kill]:
    """Trains, killed at each moment, and at last to the end."""
    for moment in planned:
        killed = kill_at(moment, "attngan_tf.train", flags, workdir, log)
        if killed is not None:
            yield killed
    run("attngan_tf.train", flags, log)


def reported(workdir: pathlib.Path) -> dict[str, int]:
    """The last step of each stage in metrics.jsonl."""
    found = {"damsm": 0, "gan": 0}
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:  # cut off by the kill
            continue
        found[row["stage"]] = max(found.get(row["stage"], 0), row["step"])
    return found


def lost(kill: Kill) -> dict[str, int]:
    """How many steps of each stage were made and not saved."""
    return {k: max(0, kill.reported[k] - kill.saved[k]) for k in kill.saved}


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """Names of numbers in the last checkpoints that are not bit-equal."""
    found = []
    for stage in ("damsm", "damsm/best", "gan", "gan/best"):
        paths = [tf.train.latest_checkpoint(w / stage) for w in (one, other)]
        readers = [tf.train.load_checkpoint(path) for path in paths]
        names = [set(r.get_variable_to_shape_map()) for r in readers]
        found += [f"{stage}: {name}" for name in names[0] ^ names[1]]
        for name in sorted(names[0] & names[1]):
            values = [np.asarray(r.get_tensor(name)) for r in readers]
            if name.startswith(NO_STATE):
                continue
            if values[0].tobytes() != values[1].tobytes():
                found.append(f"{stage}: {name}")
    return found
