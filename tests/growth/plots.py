"""Growth as small plots with logarithmic scales."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 300, 220  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 24, 24  # margins of the plotted part
COLOURS = ((31, 90, 180), (200, 70, 30), (40, 130, 60))  # the last lines'
INK, GREY = (0, 0, 0), (190, 190, 190)


class _Scale:
    """Places of values on a logarithmic scale, from one end to another."""

    def __init__(self, values: Sequence[float], first: int, last: int):
        self.low, self.high = math.log(min(values)), math.log(max(values))
        self.first, self.last = first, last

    def __call__(self, value: float) -> float:
        share = (math.log(value) - self.low) / (self.high - self.low or 1.0)
        return self.first + share * (self.last - self.first)


def panel(
    title: str, values: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> np.ndarray:
    """Lines over values, each as multiples of its first point.

    A grey line grows as the values do.

    Args:
      title: one line.
      values: of the size that grows, all above 0.
      lines: results above 0, by name; at most three.

    Returns:
      uint8 [HEIGHT, WIDTH, 3].
    """
    multiples = {k: [y / ys[0] for y in ys] for k, ys in lines.items()}
    even = [value / values[0] for value in values]
    every = [*even, *(y for ys in multiples.values() for y in ys)]
    across = _Scale(values, LEFT, WIDTH - RIGHT)
    up = _Scale(every, HEIGHT - BOTTOM, TOP)
    image = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    draw.rectangle((LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM), outline=GREY)

    def plot(ys, colour, width):
        places = [(across(x), up(y)) for x, y in zip(values, ys, strict=True)]
        draw.line(places, fill=colour, width=width)
        return places

    plot(even, GREY, 1)
    colours = COLOURS[-len(lines) :]
    for row, (name, ys) in enumerate(multiples.items()):
        for x, y in plot(ys, colours[row], 2):
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colours[row])
        place = (LEFT + 6, TOP + 4 + 14 * row)
        draw.text(place, name, fill=colours[row], font=font)
    written = [((WIDTH / 2, 6), title, "ma")]
    for value in (values[0], values[-1]):
        written.append(((across(value), HEIGHT - 20), f"{value:,}", "ma"))
    for multiple in (min(every), max(every)):
        written.append(((LEFT - 4, up(multiple)), f"x {multiple:.3g}", "rm"))
    for place, text, anchor in written:
        draw.text(place, text, fill=INK, font=font, anchor=anchor)
    return np.asarray(image)
