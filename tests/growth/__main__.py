"""python -m tests.growth: how time and peak memory grow with sizes.

Each point is measured in a process of its own.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from tests.growth import plots
from tests.growth.programs import AXES

ROOT = pathlib.Path(__file__).parents[2]
Points = dict[int, dict[str, float]]  # what was measured, by value


def measure(name: str, value: int, folder: pathlib.Path) -> dict[str, float]:
    """One point; see `tests.growth.point`."""
    point = [name, str(value), str(folder)]
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.growth.point", *point],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{name} at {value} failed:\n{done.stderr[-4000:]}")
    found = json.loads(done.stdout)
    print(f"{name} {value}: {found}", file=sys.stderr)
    return found


def results(points: Points, once: bool) -> dict[str, list[float]]:
    """What is shown of points, in the order of their values.

    Memory is counted from what TensorFlow takes before anything is made.
    """
    rows = [points[value] for value in sorted(points)]
    found = {} if once else {"start, s": [row["start_s"] for row in rows]}
    found["call, s"] = [row["call_s"] for row in rows]
    found["memory, MB"] = [
        max(row["peak_bytes"] - row["base_bytes"], 1e5) / 1e6 for row in rows
    ]
    return found


def exponent(values: Sequence[float], ys: Sequence[float]) -> float:
    """Of the power of the size that the last two points grow by."""
    return math.log(ys[-1] / ys[-2]) / math.log(values[-1] / values[-2])


def table(name: str, points: Points) -> Iterator[str]:
    """A table in Markdown; the last row holds the exponents."""
    axis, values = AXES[name], sorted(points)
    shown = results(points, axis.once)
    yield f"\n{axis.title} (`{name}`):\n"
    yield f"| {axis.size} | {' | '.join(shown)} |"
    yield "|---" * (1 + len(shown)) + "|"
    for row, value in enumerate(values):
        cells = (f"{ys[row]:.3g}" for ys in shown.values())
        yield f"| {value:,} | {' | '.join(cells)} |"
    if len(values) > 1:
        powers = (f"{exponent(values, ys):.2f}" for ys in shown.values())
        yield f"| exponent of the last two | {' | '.join(powers)} |"


def picture(measured: dict[str, Points]) -> Figure:
    """All axes, a plot each."""
    return plots.figure(
        {
            name: (
                AXES[name].size,
                sorted(points),
                results(points, AXES[name].once),
            )
            for name, points in measured.items()
        }
    )


def numbers(text: str) -> tuple[int, ...]:
    """Of an option such as 2,4."""
    return tuple(int(part) for part in text.split(","))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(AXES)}")
    parser.add_argument(
        "--output", type=pathlib.Path, help="folder for growth.png"
    )
    parser.add_argument(
        "--points", type=numbers, help="other values, such as 2,4"
    )
    options = parser.parse_args(arguments)
    wrong = set(options.names) - set(AXES)
    if wrong:
        parser.error(f"names must be of {', '.join(AXES)}; received {wrong}")
    return options


def main() -> None:
    """The command."""
    options = parse()
    measured: dict[str, Points] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for axis in options.names or AXES:
            values = options.points or AXES[axis].values
            if axis == "pictures":  # of data that is prepared first
                for value in set(values) - set(measured.get("prepare", ())):
                    measure("prepare", value, folder)
            measured[axis] = {v: measure(axis, v, folder) for v in values}
            print("\n".join(table(axis, measured[axis])), flush=True)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        path = options.output / "growth.png"
        picture(measured).savefig(path)
        print(f"\n{path}")


if __name__ == "__main__":
    main()
