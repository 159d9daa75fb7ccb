"""python -m tests.kills: a demo-sized run, killed 40 times.

It is trained once undisturbed and once with SIGKILLs: in its start, in the
preparation of the data, in steps, in checkpoints, in summaries, and then in
exports. The end must be bit-equal.
"""

import argparse
import collections
import pathlib
import random
import sys
import tempfile

from tests.kills import moments, runs

ROOT = pathlib.Path(__file__).parents[2]
DEMO = [
    f"--flagfile={ROOT / 'configs' / 'demo.flags'}",
    *("--damsm_steps=500", "--gan_steps=250", "--log_interval=10"),
    *("--sample_interval=50", "--checkpoint_interval=25"),
    *("--evaluation_interval=50", "--evaluation_images=200"),
]
EXPORTS = 5  # of the kills
INTERVALS = {"damsm": 125, "gan": 25}  # steps between two checkpoints


def plan(kills: int, folder: pathlib.Path, draw: random.Random):
    """The moments of the training's kills."""
    workdir, prepared = folder / "run", folder / "prepared"
    yield moments.after(2.0)
    yield moments.in_the_preparation(prepared)
    for number in range(kills - 2 - EXPORTS):
        yield [
            lambda: moments.after(draw.uniform(1.0, 30.0)),
            lambda: moments.in_a_checkpoint(workdir, draw.randint(1, 2)),
            lambda: moments.after(draw.uniform(10.0, 40.0)),
            lambda: moments.in_a_summary(workdir, draw.randint(1, 8)),
        ][number % 4]()


def export_killed(folder: pathlib.Path, draw: random.Random):
    """Kills exports; the last one is left alone."""
    models, workdir = folder / "models", folder / "run"
    flags = [f"--workdir={workdir}", f"--export_dir={models}"]
    count = 0
    while count < EXPORTS:
        moment = (
            moments.in_an_export(models)
            if count % 2
            else moments.after(draw.uniform(3.0, 20.0))
        )
        log = folder / "log"
        killed = runs.kill_at(moment, "export.saved_model", flags, workdir, log)
        versions = sorted(p.name for p in models.glob("[0-9]*"))
        for version in versions:
            assert (models / version / "saved_model.pb").exists(), version
        if killed is not None:  # or it had ended before
            count += 1
            yield killed
    runs.run("export.saved_model", flags, folder / "log")
    left = [p.name for p in models.glob(".writing-*")]
    assert not left, left


def main() -> int:
    """Prints a line a kill, and what differs at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path)
    given = parser.parse_args()
    folder = given.folder or pathlib.Path(tempfile.mkdtemp(prefix="kills_"))
    folder.mkdir(exist_ok=True)
    draw = random.Random(given.seed)
    alone = [f"--prepared_dir={folder / 'alone_prepared'}"]
    flags = [*DEMO, f"--prepared_dir={folder / 'prepared'}"]
    log = folder / "log"
    runs.run(
        "attngan_tf.train",
        [*DEMO, *alone, f"--workdir={folder / 'alone'}"],
        log,
    )
    flags.append(f"--workdir={folder / 'run'}")
    kinds, worst = collections.Counter(), 0
    planned = plan(given.kills, folder, draw)
    for killed in runs.train_killed(planned, flags, folder / "run", log):
        kinds[kind(killed)] += 1
        lost = runs.lost(killed)
        assert all(lost[k] <= INTERVALS[k] for k in lost), killed
        worst = max(worst, *lost.values())
        said = f"{killed.moment}: saved {killed.saved}, lost {lost}"
        print(f"{kinds.total():3d} {said}", flush=True)
    for killed in export_killed(folder, draw):
        kinds[f"export, {kind(killed)}"] += 1
        print(f"{kinds.total():3d} {killed.moment} of an export", flush=True)
    different = runs.differences(folder / "alone", folder / "run")
    print(f"{kinds.total()} kills, {worst} steps lost at most: {dict(kinds)}")
    print(f"differ: {different or 'nothing'}")
    return 1 if different or kinds.total() < given.kills else 0


def kind(killed: runs.Kill) -> str:
    """What a kill came in; of those by the clock, the stage as well."""
    if not killed.moment.startswith("after"):
        return killed.moment
    saved = [stage for stage, step in killed.saved.items() if step]
    return f"by the clock, {saved[-1] if saved else 'nothing'} saved"


if __name__ == "__main__":
    sys.exit(main())
