"""python -m tests.tools.compare: the project beside the PyTorch reference.

Each program has a process for each implementation and precision. They take
turns, so that whatever slows down the machine slows down all of them.
"""

import argparse
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping

from tests.tools.compare import worker

SIDES, PRECISIONS = ("ours", "reference"), ("float32", "bf16")
PROGRAMS = ("generate", "train", "damsm", "damsm_cached", "one_png")
Key = tuple[str, str]  # side and precision


def measure(
    program: str, options: argparse.Namespace, folder: pathlib.Path
) -> dict[Key, tuple[float, float]]:
    """Median seconds and peak bytes, by side and precision."""
    context = multiprocessing.get_context("spawn")
    pipes, found = {}, {}
    for key in [(side, p) for side in SIDES for p in PRECISIONS]:
        pipes[key], theirs = context.Pipe()
        arguments = (theirs, key[0], program, key[1])
        arguments += (options.batch_size, folder)
        context.Process(target=worker.run, args=arguments, daemon=True).start()
        theirs.close()
        pipes[key].recv()
        found[key] = []
    for _ in range(options.rounds):
        for key, pipe in pipes.items():
            for _ in range(options.calls):
                pipe.send(True)
                found[key].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(False)
    return {
        key: (statistics.median(s for s, _ in calls), calls[-1][1])
        for key, calls in found.items()
    }


def table(
    program: str, measured: Mapping[Key, tuple[float, float]]
) -> Iterator[str]:
    """A row for each pair of precisions: time, memory, and their ratios."""
    for ours, reference in (
        ("float32", "float32"),
        ("bf16", "float32"),
        ("bf16", "bf16"),
    ):
        pair = measured["ours", ours], measured["reference", reference]
        cells = [
            f"{precision} {seconds * 1e3:.0f} ms {size / 1e6:.0f} MB"
            for precision, (seconds, size) in zip(
                (ours, reference), pair, strict=True
            )
        ]
        ratios = [f"{b / a:.2f}" for a, b in zip(*pair, strict=True)]
        yield f"| {program} | {' | '.join(cells + ratios)} |"


def make_models(folder: pathlib.Path) -> None:
    """Writes published files with random weights, and exports them."""
    write = (
        "import pathlib, sys; from tests.reference import files, networks;"
        "files.write_published(pathlib.Path(sys.argv[1]), networks.CUB)"
    )
    workdir = f"--workdir={folder / 'workdir'}"
    convert = ["-m", "attngan_tf.convert", workdir]
    convert.append(f"--text_encoder={folder}/text_encoder200.pth")
    convert.append(f"--image_encoder={folder}/image_encoder200.pth")
    convert.append(f"--generator={folder}/bird_AttnGAN2.pth")
    convert.append(f"--captions_pickle={folder}/captions.pickle")
    export = ["-m", "export.saved_model", workdir]
    for command in (
        ["-c", write, str(folder)],
        convert,
        *(
            [*export, f"--export_dir={folder / p}", f"--precision={p}"]
            for p in PRECISIONS
        ),
    ):
        subprocess.run([sys.executable, *command], check=True, stdout=2)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ", ".join(PROGRAMS)
    parser.add_argument("programs", nargs="*", default=PROGRAMS, help=names)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=2, help="in a round")
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "GLOG_minloglevel": "2"}
    print("| CUB's sizes | ours | PyTorch | times faster | memory ratio |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for program in options.programs:
            if program == "one_png":
                make_models(folder)
            measured = measure(program, options, folder)
            print("\n".join(table(program, measured)), flush=True)


if __name__ == "__main__":
    main()
