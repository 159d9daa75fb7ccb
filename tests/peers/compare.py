"""python -m tests.peers.compare: the peer and the project, side by side.

Each side of each program has a process of its own; they take turns, so that
what slows the machine down slows down all of them.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

TESTS = pathlib.Path(__file__).parents[1]
PRECISIONS = ("float32", "bf16")
BF16 = {"peer": "bfloat16", "ours": "mixed_bfloat16"}


class Row(NamedTuple):
    """One line of the table: a ratio, and what it should be at least."""

    program: str
    what: str  # seconds or peak_bytes
    title: str
    ours: str  # a precision, or best
    peer: str
    least: float
    aim: float


ROWS = [
    Row("generate", "seconds", "generate", "best", "float32", 5, 10),
    Row("generate", "seconds", "generate", "float32", "float32", 1.9, 3),
    Row("generate", "seconds", "generate", "bf16", "bf16", 3, 6),
    Row("train", "seconds", "GAN step", "best", "float32", 2.5, 4),
    Row("train", "seconds", "GAN step", "float32", "float32", 0, 0),
    Row("train", "seconds", "GAN step", "bf16", "bf16", 1.5, 2.5),
    Row("train", "peak_bytes", "GAN memory", "float32", "float32", 1, 1.43),
    Row("train", "peak_bytes", "GAN memory", "bf16", "bf16", 1, 1.43),
    Row("damsm", "seconds", "DAMSM step", "best", "float32", 3, 6),
    Row("damsm", "seconds", "DAMSM step", "float32", "float32", 0, 0),
    Row("damsm", "seconds", "DAMSM step", "bf16", "bf16", 0, 0),
    Row("damsm_kept", "seconds", "of kept features", "best", "float32", 3, 6),
    Row("one_png", "seconds", "caption to PNG", "best", "float32", 2, 4),
    Row("one_png", "seconds", "caption to PNG", "float32", "float32", 0, 0),
]


class Worker:
    """A side of a program, built and waiting.

    Args:
      side: peer or ours.
      program: of PROGRAMS.
      precision: float32 or bf16.
      batch_size: B.
      folder: of files that programs need.
    """

    def __init__(
        self,
        side: str,
        program: str,
        precision: str,
        batch_size: int,
        folder: pathlib.Path,
    ):
        own = BF16[side] if precision == "bf16" else precision
        arguments = [side, program, own, str(batch_size), str(folder)]
        self.name = f"{side} {program} {precision}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peers.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.start = self._answer()
        self.rounds: list[float] = []
        self.peak_bytes = 0

    def run(self, count: int) -> None:
        """Takes a turn of so many calls."""
        try:
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._fail()
        found = self._answer()
        self.rounds.append(statistics.median(found["seconds"]))
        self.peak_bytes = found["peak_bytes"]

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self._fail()
        return json.loads(line)

    def _fail(self) -> NoReturn:
        sys.exit(f"{self.name} ended: see its error above")

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def environment() -> dict[str, str]:
    """Of the processes: they import the project and its peer."""
    path = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "GLOG_minloglevel": "2"}
    joined = os.pathsep.join(filter(None, path))
    return os.environ | {"PYTHONPATH": joined} | quiet


def make_models(folder: pathlib.Path) -> None:
    """Published files with random weights, and what is exported of them."""
    script = (
        "import pathlib, sys; from peers import files, sizes;"
        "files.write_published(pathlib.Path(sys.argv[1]), sizes.CUB)"
    )
    run = [sys.executable, "-c", script, str(folder)]
    subprocess.run(run, check=True, env=environment())
    workdir = folder / "workdir"
    convert = [
        *("attngan_tf.convert", f"--workdir={workdir}"),
        f"--text_encoder={folder}/text_encoder200.pth",
        f"--image_encoder={folder}/image_encoder200.pth",
        f"--generator={folder}/bird_AttnGAN2.pth",
        f"--captions_pickle={folder}/captions.pickle",
    ]
    commands = [convert]
    for precision in PRECISIONS:
        export = ["export.saved_model", f"--workdir={workdir}"]
        export.append(f"--export_dir={folder / precision}")
        commands.append([*export, f"--precision={precision}"])
    for command in commands:
        run = [sys.executable, "-m", *command]
        subprocess.run(
            run, check=True, env=environment(), stdout=subprocess.DEVNULL
        )


def sides(program: str) -> list[tuple[str, str]]:
    """Which sides in which precisions the rows of a program ask for."""
    wanted = set()
    for row in ROWS:
        if row.program == program:
            choices = PRECISIONS if row.ours == "best" else (row.ours,)
            wanted |= {("ours", precision) for precision in choices}
            wanted.add(("peer", row.peer))
    return sorted(wanted, key=lambda pair: (pair[1] == "bf16", pair[0]))


def measure(
    program: str, options: argparse.Namespace, folder: pathlib.Path
) -> dict[tuple[str, str], Worker]:
    """The sides of a program after their turns, by side and precision."""
    workers = {}
    for side, precision in sides(program):
        worker = Worker(side, program, precision, options.batch_size, folder)
        workers[side, precision] = worker
        print(f"{worker.name}: {worker.start}", file=sys.stderr)
    for _ in range(options.rounds):
        for worker in workers.values():
            worker.run(options.calls)
    for worker in workers.values():
        worker.close()
    return workers


def lines(
    program: str, workers: dict[tuple[str, str], Worker]
) -> Iterator[str]:
    """The rows of the table that a program gives."""

    def value(side, precision, what):
        worker = workers[side, precision]
        if what == "peak_bytes":
            return worker.peak_bytes
        return statistics.median(worker.rounds)

    for row in ROWS:
        if row.program != program:
            continue
        ours = row.ours
        if ours == "best":
            ours = min(PRECISIONS, key=lambda p: value("ours", p, row.what))
        theirs = value("peer", row.peer, row.what)
        own = value("ours", ours, row.what)
        scale, unit = (1e3, "ms") if row.what == "seconds" else (1e-6, "MB")
        yield (
            f"| {row.title} | {ours} {own * scale:.0f} {unit} "
            f"| {row.peer} {theirs * scale:.0f} {unit} "
            f"| {theirs / own:.2f} | {row.least or ''} "
            f"| {row.aim or ''} |"
        )


def positive(text: str) -> int:
    """Of an option such as 5."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; received {text}")
    return number


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(dict.fromkeys(row.program for row in ROWS))
    parser.add_argument("programs", nargs="*", help=f"of {names}; none: all")
    parser.add_argument("--batch_size", type=positive, default=8)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--calls", type=positive, default=2, help="in a round")
    options = parser.parse_args()
    wrong = set(options.programs) - set(names)
    if wrong:
        parser.error(f"programs must be of {names}; received {sorted(wrong)}")
    print("| CUB's sizes | ours | the peer | ratio | at least | aim |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for program in options.programs or names:
            if program == "one_png":
                make_models(folder)
            workers = measure(program, options, folder)
            print("\n".join(lines(program, workers)), flush=True)


if __name__ == "__main__":
    main()
