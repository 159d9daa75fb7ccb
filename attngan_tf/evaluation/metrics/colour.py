"""The colour asked for: did "a bird that is all red" come out red?

Finds the bird in a picture, averages its colour, and names the nearest colour
of a palette. Nothing is learned: it judges any generator by the same ruler.
"""

from collections.abc import Mapping, Sequence

import numpy as np

_SIDE = 32  # of the pictures in which birds are looked for
_BORDER_SHARE = 0.05  # of the border that a background colour must cover
# Lab distance of the bird from the background. Measured on 1,100 drawn birds
# and 300 empty backgrounds: 10 sees birds in 11 % of the empty ones, 14 in
# 1 %; 17 loses 1 % of the birds, the white ones.
_LEAST_CONTRAST = 14.0
_LEAST_SHARE = 0.01  # of the picture that a bird must cover
_CHUNK = 64  # pictures at once, for the memory's sake
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab of sRGB colours [..., 3] between 0 and 255 (D65, 2 degrees)."""
    c = np.asarray(rgb, np.float64) / 255
    linear = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = linear @ _XYZ.T / _WHITE
    f = np.where(
        xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29
    )
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _as_0_to_255(images: np.ndarray) -> np.ndarray:
    """Float64 pictures; a copy in any case."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"pictures must be [N, H, W, 3]; received shape {images.shape}"
        )
    if min(images.shape[1:3]) < 16:
        raise ValueError(
            "pictures must be 16 pixels wide and high at least; received "
            f"{images.shape[1:3]}"
        )
    if images.dtype == np.uint8:
        return images.astype(np.float64)
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            "pictures must be uint8, or floats between -1 and 1; received "
            f"{images.dtype}"
        )
    return (np.clip(images.astype(np.float64), -1, 1) + 1) * 127.5


def _shrunk(images: np.ndarray) -> np.ndarray:
    """Pictures averaged over blocks, _SIDE high and wide at most."""
    for axis in (1, 2):
        size = images.shape[axis]
        count = min(size, _SIDE)
        starts = np.arange(count) * size // count
        lengths = np.diff([*starts, size])
        shape = [1, 1, 1, 1]
        shape[axis] = count
        images = np.add.reduceat(images, starts, axis=axis)
        images /= lengths.reshape(shape)
    return images


def _contrast(lab: np.ndarray) -> np.ndarray:
    """How far pixels are from every common colour of the border: [N, H, W].

    The distance to a pixel of the border that is near, but has so many
    nearer ones that together they are _BORDER_SHARE of it: a branch or a tail
    that crosses the border does not make its colour one of the background.
    """
    n, h, w, _ = lab.shape
    border = np.ones((h, w), bool)
    border[1:-1, 1:-1] = False
    ring = lab[:, border]  # [N, M, 3]
    rank = int(_BORDER_SHARE * ring.shape[1])
    pixels = lab.reshape(n, h * w, 3)
    squares = (
        (pixels**2).sum(-1)[:, :, None]
        + (ring**2).sum(-1)[:, None, :]
        - 2 * pixels @ ring.transpose(0, 2, 1)
    )  # [N, H * W, M]
    nearest = np.partition(squares, rank, axis=-1)[:, :, rank]
    return np.sqrt(np.maximum(nearest, 0)).reshape(n, h, w)


def _components(mask: np.ndarray) -> np.ndarray:
    """A number above 0 for each 4-connected component: int [N, H, W]."""
    h, w = mask.shape[1:]
    labels = np.where(mask, np.arange(1, h * w + 1).reshape(h, w), 0)
    while True:
        padded = np.pad(labels, ((0, 0), (1, 1), (1, 1)))
        spread = np.maximum.reduce(
            [
                labels,
                padded[:, 2:, 1:-1],
                padded[:, :-2, 1:-1],
                padded[:, 1:-1, 2:],
                padded[:, 1:-1, :-2],
            ]
        )
        spread = np.where(mask, spread, 0)
        if np.array_equal(spread, labels):
            return labels
        labels = spread


def _main_component(mask: np.ndarray) -> np.ndarray:
    """The component with most pixels, those near the middle counting more."""
    n, h, w = mask.shape
    rows = (np.arange(h) + 0.5) / h - 0.5
    columns = (np.arange(w) + 0.5) / w - 0.5
    weight = np.exp(-8 * (rows[:, None] ** 2 + columns**2)).ravel()
    labels = _components(mask)
    main = np.zeros_like(mask)
    for i in range(n):
        totals = np.bincount(labels[i].ravel(), weight)
        totals[0] = 0  # the background
        if len(totals) > 1:
            main[i] = labels[i] == totals.argmax()
    return main


def _inner(mask: np.ndarray) -> np.ndarray:
    """The mask without its edge, where the background mixes in.

    A mask that would lose nearly all of its pixels is left as it is.
    """
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    inner = (
        mask
        & padded[:, 2:, 1:-1]
        & padded[:, :-2, 1:-1]
        & padded[:, 1:-1, 2:]
        & padded[:, 1:-1, :-2]
    )
    enough = inner.sum((1, 2)) >= 0.2 * mask.sum((1, 2))
    return np.where(enough[:, None, None], inner, mask)


def bird_pixels(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the bird is.

    Args:
      images: [N, H, W, 3], uint8 or floats between -1 and 1.

    Returns:
      The pictures averaged to 32 pixels a side at most, float64 [N, h, w, 3]
      between 0 and 255, and which of their pixels are the bird's, bool
      [N, h, w]: none where no bird stands out.

    Raises:
      ValueError: wrong shape or type.
    """
    small = _shrunk(_as_0_to_255(images))
    masks = []
    for start in range(0, len(small), _CHUNK):
        lab = rgb_to_lab(small[start : start + _CHUNK])
        masks.append(_main_component(_contrast(lab) > _LEAST_CONTRAST))
    mask = np.concatenate(masks) if masks else np.zeros(small.shape[:3], bool)
    seen = mask.mean((1, 2)) >= _LEAST_SHARE
    return small, _inner(mask) & seen[:, None, None]


def mean_colours(images: np.ndarray) -> np.ndarray:
    """The bird's mean RGB, 0 to 255: float64 [N, 3]; NaN: no bird seen."""
    small, mask = bird_pixels(images)
    count = mask.sum((1, 2))[:, None]
    total = (small * mask[..., None]).sum((1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def nearest_colours(
    colours: np.ndarray, palette: Mapping[str, Sequence[float]]
) -> list[str | None]:
    """The palette's name nearest in Lab for each of colours [N, 3].

    None where a colour is NaN. `palette` holds RGB triples, 0 to 255.
    """
    names = list(palette)
    known = rgb_to_lab(np.array([palette[name] for name in names]))
    gaps = np.linalg.norm(rgb_to_lab(colours)[:, None] - known, axis=-1)
    return [
        None if np.isnan(row).any() else names[row.argmin()] for row in gaps
    ]


def colour_accuracy(
    images: np.ndarray,
    asked: Sequence[str],
    palette: Mapping[str, Sequence[float]],
) -> float:
    """The share of pictures whose bird has the colour that was asked for.

    A picture in which no bird is seen counts as wrong.

    Args:
      images: [N, H, W, 3], uint8 or floats between -1 and 1.
      asked: N names of the palette.
      palette: name -> RGB, 0 to 255.

    Raises:
      ValueError: no pictures, a wrong shape or type, or an unknown name.
    """
    if unknown := sorted(set(asked) - set(palette)):
        raise ValueError(
            f"asked colours must be in the palette; received {unknown}"
        )
    if not len(asked) or len(asked) != len(images):
        raise ValueError(
            "there must be as many pictures as colours asked for, and one at "
            f"least; received {len(images)} and {len(asked)}"
        )
    named = nearest_colours(mean_colours(images), palette)
    return float(np.mean([n == a for n, a in zip(named, asked, strict=True)]))
