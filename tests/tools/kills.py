"""SIGKILL at many moments of a run, which must end as an undisturbed one.

`python -m tests.tools.kills` trains a demo-sized run once undisturbed and once
with 40 SIGKILLs: at its start, in the preparation of the data, in steps, in
checkpoints and in reports. The last checkpoints must have equal bits.
"""

import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

ROOT = pathlib.Path(__file__).parents[2]
DEMO = [
    f"--flagfile={ROOT / 'configs' / 'demo.flags'}",
    *("--damsm_steps=500", "--gan_steps=250", "--log_interval=10"),
    *("--sample_interval=50", "--checkpoint_interval=25"),
    *("--evaluation_interval=50", "--evaluation_images=200"),
]
INTERVALS = {"damsm": 125, "gan": 25}  # steps between two checkpoints
POLL = 0.001  # seconds; a small checkpoint is written in a few milliseconds
LATEST = 300.0  # seconds within which a moment must come
# The number of saves and the last step with ended events, which may depend on
# interruptions, and the names of objects.
NOT_COMPARED = ("save_counter/", "done/", "_CHECKPOINTABLE_OBJECT_GRAPH")


class Moment(NamedTuple):
    """When to kill: a description, and a function of the seconds so far."""

    name: str
    come: Callable[[float], bool]


class Kill(NamedTuple):
    """A process that was killed.

    Attributes:
      moment: description of when.
      lost: steps of each stage that were reported and not saved.
    """

    moment: str
    lost: dict[str, int]


def after(seconds: float) -> Moment:
    """So many seconds after the start, anywhere in the program."""
    return Moment(f"after {seconds:.1f} s", lambda spent: spent >= seconds)


def _changed(name: str, state: Callable[[], object], count: int) -> Moment:
    """When a state has changed for the `count`-th time since the start."""
    seen = {"times": 0}

    def come(spent: float) -> bool:
        del spent
        now = state()
        if now and now != seen.get("state", now):
            seen["times"] += 1
        seen["state"] = now
        return seen["times"] >= count

    return Moment(name, come)


def in_a_checkpoint(workdir: pathlib.Path, count: int = 1) -> Moment:
    """While a checkpoint is written, the `count`-th of this process."""
    return _changed(
        "in a checkpoint", lambda: [*workdir.glob("*/ckpt-*_temp")], count
    )


def in_the_preparation(prepared: pathlib.Path) -> Moment:
    """While TFDS writes records."""
    return _changed(
        "in the preparation", lambda: [*prepared.glob("*/*incomplete*")], 1
    )


def in_a_report(workdir: pathlib.Path, count: int = 1) -> Moment:
    """While a report is written: metrics.jsonl has grown so many times."""
    path = workdir / "metrics.jsonl"
    return _changed(
        "in a report", lambda: path.exists() and path.stat().st_size, count
    )


def start(flags: Sequence[str], log) -> subprocess.Popen:
    """A training in a process of its own."""
    command = [sys.executable, "-m", "attngan_tf.train", *flags]
    return subprocess.Popen(command, stdout=log, stderr=log)


def run(flags: Sequence[str], log: pathlib.Path) -> None:
    """Trains to the end; raises if that fails."""
    with open(log, "a") as file:
        if start(flags, file).wait():
            raise AssertionError(f"the training failed; see {log}")


def train_killed(
    planned: Iterable[Moment],
    flags: Sequence[str],
    workdir: pathlib.Path,
    log: pathlib.Path,
) -> Iterator[Kill]:
    """Trains, killed at each moment, and finally to the end."""
    for moment in planned:
        with open(log, "a") as file:
            process, began, spent = start(flags, file), time.monotonic(), 0.0
            while process.poll() is None:
                spent = time.monotonic() - began
                if moment.come(spent) or spent > LATEST:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                time.sleep(POLL)
        assert spent <= LATEST, f"{moment.name}: not within {LATEST} s"
        if process.returncode == -signal.SIGKILL:
            yield Kill(moment.name, lost(workdir))
        else:
            assert process.returncode == 0, f"see {log}"
    run(flags, log)


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


def plan(
    kills: int, folder: pathlib.Path, rng: random.Random
) -> Iterator[Moment]:
    """The moments of the kills."""
    workdir = folder / "run"
    yield after(2.0)
    yield in_the_preparation(folder / "prepared")
    for number in range(kills - 2):
        yield [
            lambda: after(rng.uniform(1.0, 30.0)),
            lambda: in_a_checkpoint(workdir, rng.randint(1, 2)),
            lambda: after(rng.uniform(10.0, 40.0)),
            lambda: in_a_report(workdir, rng.randint(1, 8)),
        ][number % 4]()


def main() -> int:
    """Prints a line for each kill, and the differences at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kills_"))
    alone, workdir, log = folder / "alone", folder / "run", folder / "log"
    run([*DEMO, f"--prepared_dir={alone}_data", f"--workdir={alone}"], log)
    flags = [*DEMO, f"--prepared_dir={folder / 'prepared'}"]
    flags.append(f"--workdir={workdir}")
    planned = plan(given.kills, folder, random.Random(given.seed))
    count = 0
    for count, kill in enumerate(train_killed(planned, flags, workdir, log), 1):
        assert all(kill.lost[k] <= INTERVALS[k] for k in kill.lost), kill
        print(f"{count:3d} {kill.moment}: lost {kill.lost}", flush=True)
    different = differences(alone, workdir)
    print(f"{count} kills; differences: {different or 'none'}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
