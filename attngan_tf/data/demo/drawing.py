"""Draws the birds of the embedded data set as flat, antialiased shapes."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw

SIDE = 128  # of an image, in pixels
_SCALE = 3  # shapes are drawn larger by this factor, then averaged
_CANVAS = SIDE * _SCALE

# Any two differ by 34 or more in CIE Lab; see also `_GROUNDS`.
PALETTE: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "red": (208, 32, 40),
        "orange": (244, 128, 18),
        "yellow": (252, 218, 40),
        "green": (40, 146, 56),
        "blue": (36, 86, 206),
        "purple": (138, 44, 160),
        "pink": (246, 146, 184),
        "brown": (118, 68, 34),
        "black": (26, 26, 30),
        "white": (250, 250, 248),
        "grey": (100, 103, 108),
    }
)
PARTS = ("crown", "back", "wings", "belly", "beak")
POSES = ("perched", "standing", "flying")

_TILT = {"perched": -32.0, "standing": -12.0, "flying": -4.0}  # degrees
_FIXED = {
    "leg": (84, 74, 68),
    "branch": (142, 128, 114),
    "soil": (170, 160, 142),
    "dark": (14, 14, 16),
    "light": (250, 250, 248),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bird:
    """What an image shows.

    Attributes:
      colours: a name in PALETTE for each of PARTS. The tail has the colour of
        the back; the cheeks and the breast have that of the belly.
      pose: one of POSES.
      left: the bird looks to the left, not to the right.
      size: 0 to 1, from the smallest to the largest bird.
      long_beak: the beak is longer than the head is high.
      ground: the background, a key of GROUNDS.
    """

    colours: Mapping[str, str]
    pose: str
    left: bool
    size: float
    long_beak: bool
    ground: str


class _Shape(NamedTuple):
    """A polygon, or with `width` a line; `within` clips it to another one."""

    points: np.ndarray  # [n, 2], x to the front, y downwards, body length ~2
    colour: str  # a part, or a key of _FIXED
    tone: float = 1.0  # factor on the colour
    width: float = 0.0
    within: np.ndarray | None = None
    outlined: bool = True


def _curve(*knots: tuple[float, float], steps: int = 6) -> np.ndarray:
    """Points of a closed Catmull-Rom spline through the knots."""
    here = np.array(knots)[:, None]  # [knots, 1, 2]
    before, after, next_but_one = (
        np.roll(here, shift, axis=0) for shift in (1, -1, -2)
    )
    t = np.arange(steps)[:, None] / steps
    points = here + 0.5 * (
        t * (after - before)
        + t**2 * (2 * before - 5 * here + 4 * after - next_but_one)
        + t**3 * (3 * here - before - 3 * after + next_but_one)
    )
    return points.reshape(-1, 2)  # [knots * steps, 2]


def _circle(radius: float, count: int = 32) -> np.ndarray:
    """Points of a circle around 0."""
    angles = np.arange(count) * 2 * math.pi / count
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned about 0; positive angles turn the front downwards."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[c, s], [-s, c]])


_BODY = _curve(
    (1.0, -0.3), (0.92, 0.2), (0.4, 0.6), (-0.25, 0.56), (-0.85, 0.22),
    (-1.15, -0.06), (-0.95, -0.3), (-0.3, -0.58), (0.35, -0.78), (0.8, -0.7),
)  # fmt: skip
_BELLY = _curve(
    (1.3, -0.7), (0.78, -0.42), (0.5, -0.02), (-0.1, 0.2), (-0.75, 0.16),
    (-1.1, 0.5), (0.0, 1.2), (1.4, 0.7),
)  # fmt: skip
_TAIL = np.array(
    [(-0.8, -0.32), (-1.75, -0.2), (-1.86, 0.04), (-1.72, 0.22), (-0.8, 0.2)]
)
_FOLDED_WING = _curve(
    (0.5, -0.36), (0.52, -0.02), (0.1, 0.3), (-0.55, 0.3), (-1.35, 0.1),
    (-0.8, -0.18), (-0.1, -0.34),
)  # fmt: skip
_RAISED_WING = _curve(
    (0.42, -0.3), (0.4, -0.9), (0.0, -1.55), (-0.75, -1.95), (-0.78, -1.62),
    (-1.04, -1.42), (-0.9, -1.12), (-1.06, -0.84), (-0.76, -0.58),
    (-0.44, -0.28), (-0.1, 0.04), (0.26, 0.04),
)  # fmt: skip
_FOLDED_FEATHERS = np.array(  # from root to tip
    [[(0.0, -0.1), (-1.0, 0.05)], [(0.05, 0.04), (-0.85, 0.17)],
     [(0.1, 0.17), (-0.6, 0.25)]]
)  # fmt: skip
_RAISED_FEATHERS = np.array(
    [[(0.1, -0.74), (-0.74, -1.64)], [(0.02, -0.48), (-0.88, -1.12)],
     [(-0.04, -0.24), (-0.74, -0.62)]]
)  # fmt: skip
_HEAD_AT = np.array([0.72, -0.82])
_HEAD = _circle(0.56)
_CROWN = _curve(  # around the head's centre, as _HEAD
    (0.62, -0.12), (0.2, -0.02), (-0.2, 0.06), (-0.62, 0.3), (-0.9, -0.5),
    (0.0, -1.0), (0.8, -0.6),
)  # fmt: skip


def _wing(
    outline: np.ndarray, feathers: np.ndarray, tone: float = 1.0
) -> list[_Shape]:
    """A wing and, darker, the lines between its feathers."""
    return [
        _Shape(outline, "wings", tone),
        *(_Shape(line, "wings", 0.78 * tone, 0.045) for line in feathers),
    ]


def _head(long_beak: bool) -> list[_Shape]:
    # As large as a toucan's: its colour must be visible at 32 x 32, too.
    length = 1.5 if long_beak else 1.06
    half = 0.25 if long_beak else 0.32
    beak = _curve(
        (0.3, 0.06 - half), (0.7, 0.1 - 0.86 * half), (length, 0.2),
        (0.7, 0.1 + 0.8 * half), (0.3, 0.1 + half),
    )  # fmt: skip
    mouth = np.array([(0.52, 0.12), (length - 0.12, 0.17)])
    eye = np.array([0.2, -0.1])
    return [
        _Shape(beak, "beak"),
        _Shape(mouth, "beak", 0.6, 0.03),
        _Shape(_HEAD, "belly"),
        _Shape(_CROWN, "crown", within=_HEAD),
        _Shape(_circle(0.15) + eye, "light", outlined=False),
        _Shape(_circle(0.11) + eye, "dark", outlined=False),
        _Shape(_circle(0.04) + eye + (0.03, -0.04), "light", outlined=False),
    ]


def _changed(shape: _Shape, change: Callable) -> _Shape:
    """The shape with its polygons changed."""
    within = None if shape.within is None else change(shape.within)
    return shape._replace(points=change(shape.points), within=within)


def _moved(shapes: list[_Shape], degrees: float, at=0.0) -> list[_Shape]:
    """The shapes turned about 0, then shifted."""
    return [
        _changed(shape, lambda points: _turned(points, degrees) + at)
        for shape in shapes
    ]


def _feet(tilt: float, pose: str) -> list[_Shape]:
    """Legs, and below them the branch or the ground."""
    hips = _turned(np.array([(0.12, 0.5), (-0.2, 0.5)]), tilt)
    floor = hips[:, 1].max() + (0.24 if pose == "perched" else 0.42)
    shapes = []
    for x, y in hips:
        toes = [(x - 0.14, floor), (x, floor - 0.04), (x + 0.2, floor)]
        shapes.append(_Shape(np.array([(x, y), toes[1]]), "leg", 1.0, 0.09))
        shapes.append(_Shape(np.array(toes), "leg", 1.0, 0.08))
    if pose == "perched":
        branch = np.array([(-6.0, floor + 0.2), (6.0, floor - 0.04)])
        return [_Shape(branch, "branch", 1.0, 0.2), *shapes]
    hill = _circle(12.0, 200) + np.array([0.0, 11.92 + floor])
    return [_Shape(hill, "soil", outlined=False), *shapes]


def _shapes(bird: Bird, rng: np.random.Generator) -> list[_Shape]:
    """The bird from the rearmost shape to the foremost, looking right."""
    tilt = _TILT[bird.pose] + rng.uniform(-7, 7)
    flap, nod = rng.uniform(-12, 12), rng.uniform(-13, 13)
    flying = bird.pose == "flying"
    body = [
        _Shape(_TAIL, "back"),
        _Shape(_BODY, "back"),
        _Shape(_BELLY, "belly", within=_BODY),
    ]
    front = _wing(_FOLDED_WING, _FOLDED_FEATHERS)
    if flying:
        far = _wing(_RAISED_WING, _RAISED_FEATHERS, 0.86)
        body = _moved(far, 24 + flap, np.array([0.15, 0.0])) + body
        near = _wing(_RAISED_WING, _RAISED_FEATHERS)
        front = _moved(near, flap - 10)
    shapes = [] if flying else _feet(tilt, bird.pose)
    shapes += _moved(body, tilt)
    shapes += _moved(front, tilt)
    head = _turned(_HEAD_AT[None], tilt)[0]
    return shapes + _moved(_head(bird.long_beak), nod, head)


def _placed(
    shapes: list[_Shape], bird: Bird, rng: np.random.Generator
) -> tuple[list[_Shape], float]:
    """The shapes in canvas pixels, near the centre; and pixels per unit."""
    unit = _CANVAS * (0.175 + 0.05 * bird.size)
    outer = [
        shape.points
        for shape in shapes
        if shape.within is None and shape.colour not in ("branch", "soil")
    ]
    body = np.concatenate(outer)
    middle = (body.min(axis=0) + body.max(axis=0)) / 2
    sign = np.array([-1.0 if bird.left else 1.0, 1.0])
    target = _CANVAS * (0.5 + rng.uniform(-0.025, 0.025, 2))

    def place(points):
        return (points - middle) * sign * unit + target

    return [_changed(shape, place) for shape in shapes], unit


def _shades(bird: Bird, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The RGB colour of each part: the palette's, slightly varied."""
    shades = {key: np.array(rgb, float) for key, rgb in _FIXED.items()}
    tints = {  # one shade for all parts that share a colour's name
        name: np.array(PALETTE[name]) * rng.uniform(0.94, 1.06)
        + rng.uniform(-5, 5, 3)
        for name in PALETTE
    }
    shades.update({part: tints[bird.colours[part]] for part in PARTS})
    return shades


def _paint(
    shapes: list[_Shape], shades: Mapping[str, np.ndarray], unit: float
) -> Image.Image:
    """The shapes on an empty RGBA canvas, reduced to SIDE x SIDE."""
    canvas = Image.new("RGBA", (_CANVAS, _CANVAS))
    draw = ImageDraw.Draw(canvas)
    for shape in shapes:
        rgb = np.clip(shades[shape.colour] * shape.tone, 0, 255)
        fill = (*(int(value) for value in rgb), 255)
        dark = (*(int(value) for value in 0.62 * rgb), 255)
        points = shape.points.ravel().tolist()
        if shape.width:
            draw.line(points, fill, round(shape.width * unit), joint="curve")
        elif shape.within is None:
            draw.polygon(points, fill)
            if shape.outlined:
                closed = points + points[:4]
                draw.line(closed, dark, round(0.035 * unit), joint="curve")
        else:
            canvas.paste(fill, *_clipped(shape))
    return canvas.reduce(_SCALE)


def _clipped(shape: _Shape) -> tuple[tuple[int, int], Image.Image]:
    """The intersection of the shape's polygons: left and top, and a mask."""
    corner = np.floor(shape.within.min(axis=0)).astype(int)
    size = np.ceil(shape.within.max(axis=0)).astype(int) + 1 - corner
    masks = []
    for points in (shape.points, shape.within):
        mask = Image.new("L", tuple(size.tolist()))
        polygon = (points - corner).ravel().tolist()
        ImageDraw.Draw(mask).polygon(polygon, 255)
        masks.append(mask)
    return tuple(corner.tolist()), ImageChops.darker(*masks)


# Upper and lower colour, grain and its strength. Muted tones (CIE L 62 to 82),
# 17 or more away from every colour of the palette, so each bird is visible.
_GROUNDS = {
    "plain": ((186, 182, 176), (178, 176, 172), (1, 1), 0.0),
    "sky": ((156, 184, 212), (180, 190, 196), (4, 3), 14.0),
    "meadow": ((176, 190, 198), (154, 176, 132), (6, 40), 9.0),
    "sand": ((176, 190, 200), (198, 182, 146), (40, 40), 9.0),
    "water": ((190, 192, 190), (142, 174, 188), (32, 4), 9.0),
    "foliage": ((156, 178, 142), (146, 168, 136), (8, 8), 18.0),
}
GROUNDS = tuple(_GROUNDS)
_WITH_HORIZON = ("meadow", "sand", "water")


def _noise(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of mean 0 within +-0.5: float32 [SIDE, SIDE]."""
    coarse = Image.fromarray(rng.random(shape, dtype=np.float32) - 0.5)
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _background(bird: Bird, rng: np.random.Generator) -> np.ndarray:
    """The background: float32 [SIDE, SIDE, 3], 0 to 255."""
    upper, lower, grain, strength = _GROUNDS[bird.ground]
    rows = np.arange(SIDE, dtype=np.float32) / SIDE
    horizon = bird.ground in _WITH_HORIZON
    if horizon:
        rows = np.clip((rows - rng.uniform(0.45, 0.65)) * 24 + 0.5, 0, 1)
    blend = rows[:, None, None]
    colours = np.array([upper, lower], np.float32) + rng.uniform(-5, 5, 3)
    image = colours[0] * (1 - blend) + colours[1] * blend  # [SIDE, 1, 3]
    noise = _noise(grain, rng)[:, :, None] * strength
    noise = noise * blend if horizon else noise
    return image + noise + _noise((3, 3), rng)[:, :, None] * 8


def draw_bird(bird: Bird, rng: np.random.Generator) -> Image.Image:
    """An RGB image of the bird, SIDE x SIDE.

    `rng` determines the exact position, angles and shades.
    """
    shapes, unit = _placed(_shapes(bird, rng), bird, rng)
    layer = _paint(shapes, _shades(bird, rng), unit)
    layer = np.asarray(layer, np.float32)
    cover, colour = layer[:, :, 3:] / 255, layer[:, :, :3]
    light = np.linspace(1.06, 0.94, SIDE, dtype=np.float32)[:, None, None]
    plumage = _noise((24, 24), rng)[:, :, None] * 10
    image = (colour * light + plumage) * cover
    image += _background(bird, rng) * (1 - cover)
    return Image.fromarray(np.clip(image + 0.5, 0, 255).astype(np.uint8))
