"""Moments at which a process is killed."""

import glob
import os
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

POLL = 0.001  # seconds; a small checkpoint is written in a few milliseconds
LATEST = 300.0  # seconds in which a moment must come


class Moment(NamedTuple):
    """When to kill.

    Fields:
      name: in words, that of its kind first.
      come: whether it has come, for the seconds since the process began.
    """

    name: str
    come: Callable[[float], bool]


def after(seconds: float) -> Moment:
    """So many seconds after the start: somewhere in it, or in a step."""
    return Moment(f"after {seconds:.1f} s", lambda spent: spent >= seconds)


def _appears(name: str, pattern: pathlib.Path, count: int) -> Moment:
    """When files of a pattern are there for the `count`-th time."""
    seen = {"there": True, "times": 0}

    def come(spent: float) -> bool:
        del spent
        there = bool(glob.glob(str(pattern)))
        if there and not seen["there"]:
            seen["times"] += 1
        seen["there"] = there
        return seen["times"] >= count

    return Moment(name, come)


def in_a_checkpoint(workdir: pathlib.Path, count: int = 1) -> Moment:
    """While a checkpoint is written, the `count`-th of this process."""
    return _appears("in a checkpoint", workdir / "*" / "ckpt-*_temp", count)


def in_the_preparation(prepared: pathlib.Path) -> Moment:
    """While TFDS writes records."""
    return _appears("in the preparation", prepared / "*" / "*incomplete*", 1)


def in_an_export(models: pathlib.Path) -> Moment:
    """While a version is written."""
    return _appears("in an export", models / ".writing-*", 1)


def in_a_summary(workdir: pathlib.Path, grown: int = 1) -> Moment:
    """While a report is written: when the file has grown so many times."""
    path = workdir / "metrics.jsonl"
    state = {"size": None, "times": 0}

    def come(spent: float) -> bool:
        del spent
        size = path.stat().st_size if path.exists() else 0
        if state["size"] not in (None, size):
            state["times"] += 1
        state["size"] = size
        return state["times"] >= grown

    return Moment("in a summary", come)


def wait(moment: Moment, process) -> bool:
    """Waits for a moment; whether it came before the process ended.

    Raises:
      TimeoutError: neither came; the process is killed.
    """
    began = time.monotonic()
    while process.poll() is None:
        spent = time.monotonic() - began
        if moment.come(spent):
            return True
        if spent > LATEST:
            process.kill()
            raise TimeoutError(f"{moment.name}: not within {LATEST} s")
        time.sleep(POLL)
    return False


def newest(workdir: pathlib.Path) -> dict[str, int]:
    """The newest checkpoint of each stage, by its file's name."""
    found = {}
    for stage in ("damsm", "gan"):
        paths = (workdir / stage).glob("ckpt-*.index")
        steps = [int(os.path.basename(p).split("-")[1][:-6]) for p in paths]
        found[stage] = max(steps, default=0)
    return found
