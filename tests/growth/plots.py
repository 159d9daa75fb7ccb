"""Growth as small plots with logarithmic scales."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

COLUMNS = 3  # plots in a row
PANEL_SIZE = 3.3, 2.6  # inches
GREY = "#b0b0b0"
# Of the last lines: colours, and markers that differ in grey, too.
STYLES = (("#1f5ab4", "o"), ("#c8461e", "s"), ("#28823c", "^"))


def panel(
    axes: Axes,
    size: str,
    values: Sequence[float],
    lines: Mapping[str, Sequence[float]],
) -> None:
    """Draws lines over values, each as multiples of its first point.

    A grey line grows as the values do.

    Args:
      axes: to draw in.
      size: what grows.
      values: of it, all above 0.
      lines: results above 0, by name; at most three.
    """
    axes.loglog(values, [x / values[0] for x in values], color=GREY)
    styles = STYLES[-len(lines) :]
    for (name, ys), (colour, marker) in zip(lines.items(), styles, strict=True):
        multiples = [y / ys[0] for y in ys]
        axes.loglog(values, multiples, marker, ls="-", color=colour, label=name)
    axes.set_xlabel(size)
    axes.legend(fontsize="small")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("x {x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


Panel = tuple[str, Sequence[float], Mapping[str, Sequence[float]]]


def figure(panels: Mapping[str, Panel]) -> Figure:
    """Panels of sizes, values and lines by title, COLUMNS in a row."""
    rows = -(-len(panels) // COLUMNS)
    width, height = PANEL_SIZE
    found = Figure((COLUMNS * width, rows * height), layout="constrained")
    places = found.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in places[len(panels) :]:
        axes.remove()
    for axes, (title, shown) in zip(places, panels.items(), strict=False):
        panel(axes, *shown)
        axes.set_title(title)
    for axes in places[: len(panels) : COLUMNS]:
        axes.set_ylabel("times the first")
    return found
