"""python -m tests.tools.growth: how time and peak memory grow with sizes.

Each point is measured in a process of its own.
"""

import argparse
import concurrent.futures
import math
import multiprocessing
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tests.tools.growth.point import point

COLUMNS = 3  # plots in a row
Points = dict[int, dict[str, float]]  # measurements by value


def measure(name: str, value: int, folder: pathlib.Path) -> dict[str, float]:
    """Measures a point in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(point, name, value, folder).result()


def results(points: Points, once: bool) -> dict[str, list[float]]:
    """Columns of the table, in the order of the values.

    Memory is above what TensorFlow takes before anything is made.
    """
    rows = [points[value] for value in sorted(points)]
    found = {} if once else {"start, s": [row["start_s"] for row in rows]}
    found["call, s"] = [row["call_s"] for row in rows]
    found["memory, MB"] = [
        max(row["peak_bytes"] - row["base_bytes"], 1e5) / 1e6 for row in rows
    ]
    return found


def exponent(values: Sequence[float], ys: Sequence[float]) -> float:
    """The power of the size by which the last two points grow."""
    return math.log(ys[-1] / ys[-2]) / math.log(values[-1] / values[-2])


def table(name: str, axis, points: Points) -> Iterator[str]:
    """A table in Markdown; the last row has the exponents."""
    values, columns = sorted(points), results(points, axis.once)
    yield f"\n{axis.title} (`{name}`):\n"
    yield f"| {axis.size} | {' | '.join(columns)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for row, value in enumerate(values):
        cells = (f"{ys[row]:.3g}" for ys in columns.values())
        yield f"| {value:,} | {' | '.join(cells)} |"
    powers = (f"{exponent(values, ys):.2f}" for ys in columns.values())
    yield f"| exponent of the last two | {' | '.join(powers)} |"


def figure(axes: dict, measured: dict[str, Points]) -> Figure:
    """A plot of each axis: multiples of the first point; grey is linear."""
    rows = -(-len(measured) // COLUMNS)
    found = Figure((3.3 * COLUMNS, 2.6 * rows), layout="constrained")
    plots = found.subplots(rows, COLUMNS, squeeze=False).ravel()
    for plot in plots[len(measured) :]:
        plot.remove()
    for plot, (name, points) in zip(plots, measured.items(), strict=False):
        values = sorted(points)
        plot.loglog(values, [x / values[0] for x in values], color="#b0b0b0")
        columns = results(points, axes[name].once)
        for (label, ys), marker in zip(columns.items(), "osd", strict=False):
            multiples = [y / ys[0] for y in ys]
            plot.loglog(values, multiples, f"{marker}-", label=label)
        plot.set(title=name, xlabel=axes[name].size, ylabel="times the first")
        plot.set_xticks(values, [f"{value:,}" for value in values])
        plot.xaxis.set_minor_locator(NullLocator())
        plot.legend(fontsize="small")
    return found


def main() -> None:
    """The command."""
    from tests.tools.growth.programs import AXES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=AXES, help=", ".join(AXES))
    parser.add_argument("--output", help="folder for growth.png")
    parser.add_argument("--values", help="other values, such as 2,4")
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    measured: dict[str, Points] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for name in options.names:
            axis = AXES[name]
            values = axis.values
            if options.values:
                values = [int(value) for value in options.values.split(",")]
            if name == "images":  # read data that is prepared first
                for value in set(values) - set(measured.get("prepare", ())):
                    measure("prepare", value, folder)
            measured[name] = {v: measure(name, v, folder) for v in values}
            print("\n".join(table(name, axis, measured[name])), flush=True)
    if options.output:
        path = pathlib.Path(options.output) / "growth.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure(AXES, measured).savefig(path)


if __name__ == "__main__":
    main()
