"""Scores over training, as in the paper's Fig. 3."""

import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from attngan_tf.runs.reports import LABELS, Point, Run, series

PANELS = ("inception_score", "r_precision", "frechet")  # Fig. 3: the first two
# Okabe and Ito's colours, which colour-blind readers can distinguish. The
# numbers of colours, markers and lines give 28 combinations that also differ
# in greyscale.
COLOURS = (
    "#000000",
    "#e69f00",
    "#0072b2",
    "#d55e00",
    "#56b4e9",
    "#009e73",
    "#cc79a7",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
MAX_MARKERS = 20  # on one line
PANEL_SIZE = 4.2, 3.4  # inches
MAX_LABEL = 40  # characters; of longer names, only the end is shown
LEGEND_LINE = 0.19  # inches of a line of a small legend
DPI = 150


def plot_curves(path: str, runs: Sequence[Run]) -> bool:
    """Writes a PNG of the runs' scores over epochs, or steps.

    Returns:
      Whether any run has scores; if none has, no file is written.
    """
    # A run's name may contain a dollar sign.
    with matplotlib.rc_context({"text.parse_math": False}):
        figure = curves(runs)
        if figure is not None:
            FigureCanvasAgg(figure)
            figure.savefig(path, format="png", dpi=DPI)
    return figure is not None


def curves(runs: Sequence[Run]) -> Figure | None:
    """A panel for each score, a line for each run, its std as a band.

    The x axis shows epochs if every point has one, otherwise steps of the GAN.
    Returns None if no run has scores.
    """
    panels = {
        name: found
        for name in PANELS
        if any(found := [series(run, name) for run in runs])
    }
    if not panels:
        return None
    points = [p for found in panels.values() for line in found for p in line]
    epochs = all(point.epoch is not None for point in points)
    width, height = PANEL_SIZE
    figure = Figure((width * len(panels), height), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    handles = {}
    for axes, (name, found) in zip(all_axes, panels.items(), strict=True):
        axes.set_ylabel(LABELS[name])
        axes.set_xlabel("epoch" if epochs else "step of the GAN")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
        axes.grid(alpha=0.3)
        for i, line in enumerate(found):
            if line:
                handles[i] = _plot(axes, line, i, epochs)
    texts = [runs[i].name[-MAX_LABEL:] for i in sorted(handles)]
    # A long legend makes the figure higher, not the panels smaller.
    figure.set_figheight(height + LEGEND_LINE * len(texts))
    figure.legend(
        [handles[i] for i in sorted(handles)],
        texts,
        loc="outside lower center",
        fontsize="small",
        handlelength=4,
    )
    return figure


def _plot(axes: Axes, line: Sequence[Point], i: int, epochs: bool) -> Line2D:
    """Plots the i-th run's line; returns its handle for the legend."""
    x = [point.epoch if epochs else point.step for point in line]
    means = [point.generated.mean for point in line]
    stds = [point.generated.std for point in line]
    spreads = [math.nan if std is None else std for std in stds]
    colour = COLOURS[i % len(COLOURS)]
    axes.fill_between(
        x,
        [mean - std for mean, std in zip(means, spreads, strict=True)],
        [mean + std for mean, std in zip(means, spreads, strict=True)],
        color=colour,
        alpha=0.12,
        linewidth=0,
    )
    (handle,) = axes.plot(
        x,
        means,
        color=colour,
        linestyle=LINES[i % len(LINES)],
        marker=MARKERS[i % len(MARKERS)],
        markersize=4,
        markevery=math.ceil(len(line) / MAX_MARKERS),
    )
    return handle
