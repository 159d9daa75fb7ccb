"""SIGKILL at moments of a run, which must end as an undisturbed one."""

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tests import processes

POLL = 0.001  # seconds; a small checkpoint is written in a few milliseconds
LATEST = 300.0  # seconds within which a moment must come
# The number of saves and the last step with ended events, which may depend on
# interruptions, and the names of objects.
NOT_COMPARED = ("save_counter/", "done/", "_CHECKPOINTABLE_OBJECT_GRAPH")
Moment = Callable[[], bool]  # whether the moment has come


def _changed(state: Callable[[], object], count: int) -> Moment:
    """When a state has changed for the `count`-th time since the start."""
    seen = {"times": 0}

    def come() -> bool:
        now = state()
        if now and now != seen.get("state", now):
            seen["times"] += 1
        seen["state"] = now
        return seen["times"] >= count

    return come


def in_a_checkpoint(workdir: pathlib.Path, count: int = 1) -> Moment:
    """While a checkpoint is written, the `count`-th of this process."""
    return _changed(lambda: [*workdir.glob("*/ckpt-*_temp")], count)


def in_a_report(workdir: pathlib.Path, count: int = 1) -> Moment:
    """While a report is written: metrics.jsonl has grown so many times."""
    path = workdir / "metrics.jsonl"
    return _changed(lambda: path.exists() and path.stat().st_size, count)


def start(flags: Sequence[str], log) -> subprocess.Popen:
    """A training in a process of its own."""
    command = [sys.executable, "-m", "attngan_tf.train", *flags]
    return processes.start(command, stdout=log, stderr=log)


def train_killed(
    moments: Iterable[Moment],
    flags: Sequence[str],
    workdir: pathlib.Path,
    log: pathlib.Path,
) -> Iterator[dict[str, int]]:
    """Trains, killed at each moment, and finally to the end.

    Yields what each kill has `lost`.
    """
    with open(log, "a") as file:
        for come in moments:
            process, began = start(flags, file), time.monotonic()
            while not come():
                assert process.poll() is None, f"ended early; see {log}"
                assert time.monotonic() - began < LATEST
                time.sleep(POLL)
            process.kill()
            process.wait()
            yield lost(workdir)
        assert start(flags, file).wait() == 0, f"see {log}"


def lost(workdir: pathlib.Path) -> dict[str, int]:
    """The number of steps of each stage that were reported and not saved."""
    reported, path = {"damsm": 0, "gan": 0}, workdir / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:  # truncated by the kill
            continue
        reported[row["stage"]] = max(reported[row["stage"]], row["step"])
    found = {}
    for stage, step in reported.items():
        paths = (workdir / stage).glob("ckpt-*.index")
        saved = [int(path.stem.split("-")[1]) for path in paths]
        found[stage] = max(0, step - max(saved, default=0))
    return found


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
    """Names of values in the last checkpoints whose bits differ."""
    found = []
    for stage in ("damsm", "damsm/best", "gan", "gan/best"):
        paths = [tf.train.latest_checkpoint(w / stage) for w in (one, other)]
        readers = [tf.train.load_checkpoint(path) for path in paths]
        names = [set(r.get_variable_to_shape_map()) for r in readers]
        found += [f"{stage}: {name}" for name in names[0] ^ names[1]]
        for name in sorted(names[0] & names[1]):
            values = [np.asarray(r.get_tensor(name)) for r in readers]
            if name.startswith(NOT_COMPARED):
                continue
            if values[0].tobytes() != values[1].tobytes():
                found.append(f"{stage}: {name}")
    return found
