"""The embedded data set: rendered birds, and captions that describe them.

It is a task like CUB's that a small model learns in minutes.
"""

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds

from attngan_tf.data.demo.captions import (
    caption,
    captions,
    is_single_coloured,
    pick,
)
from attngan_tf.data.demo.drawing import (
    GROUNDS,
    PALETTE,
    PARTS,
    POSES,
    Bird,
    draw_bird,
)
from attngan_tf.data.raw import in_threads
from attngan_tf.data.records import CaptionedImages, Example, Report

CAPTIONS_PER_IMAGE = 6
SEED = 0  # of the prepared data set
_SPLITS = ("train", "test")
_SINGLE_COLOUR = 0.2  # fraction of birds of one colour
_COLOURS = tuple(PALETTE)
_BEAKS = ("black", "grey", "white", "yellow", "orange", "red", "brown")


def held_out(bird: Bird) -> bool:
    """Whether the bird is in the test split, not in the train split.

    The test split has 33 of the 110 pairs of colours of belly and wings; the
    train split has the same pairs exchanged. Of the birds of a single colour,
    the test split has one of the three poses, which depends on the colour.
    """
    belly, wings = (
        _COLOURS.index(bird.colours[part]) for part in ("belly", "wings")
    )
    if is_single_coloured(bird):
        return bird.pose == POSES[belly % 3]
    return (belly - wings) % len(_COLOURS) in (1, 3, 4)


def class_id(colours: Mapping[str, str]) -> int:
    """The number of a combination of colours; see `Bird.colours`."""
    digits = (_COLOURS.index(colours[part]) for part in PARTS)
    return sum(digit * len(_COLOURS) ** i for i, digit in enumerate(digits))


def part_colours(class_ids: np.ndarray) -> np.ndarray:
    """Indices of PALETTE, int [N, PARTS], from class ids int [N]."""
    powers = len(_COLOURS) ** np.arange(len(PARTS))
    return class_ids[:, None] // powers % len(_COLOURS)


def single_colour_classes() -> dict[int, str]:
    """The colours of birds of a single colour, by their class ids."""
    return {class_id(dict.fromkeys(PARTS, c)): c for c in _COLOURS}


def _random_colours(
    single: bool, rng: np.random.Generator
) -> Mapping[str, str]:
    if single:
        return dict.fromkeys(PARTS, pick(rng, _COLOURS))
    wings = pick(rng, _COLOURS)
    belly = pick(rng, [name for name in _COLOURS if name != wings])
    crown = pick(rng, _COLOURS)
    # A back like the wings or the crown fits "a blue bird with ...".
    back = pick(rng, [wings, wings, crown, crown, pick(rng, _COLOURS)])
    colours = {"crown": crown, "back": back, "wings": wings, "belly": belly}
    return colours | {"beak": pick(rng, _BEAKS)}


def random_bird(split: str, rng: np.random.Generator) -> Bird:
    """A bird of the `train` or the `test` split."""
    single = rng.random() < _SINGLE_COLOUR
    while True:
        bird = Bird(
            colours=_random_colours(single, rng),
            pose=pick(rng, POSES),
            left=bool(rng.random() < 0.5),
            size=float(rng.random()),
            long_beak=bool(rng.random() < 0.4),
            ground=pick(rng, GROUNDS),
        )
        if held_out(bird) == (split == "test"):
            return bird


def _described(
    seed: int, split: str, index: int
) -> tuple[Bird, list[str], np.random.Generator]:
    """Bird `index`, its captions, and the random generator for its image."""
    rng = np.random.default_rng([seed, _SPLITS.index(split), index])
    bird = random_bird(split, rng)
    return bird, captions(bird, rng, CAPTIONS_PER_IMAGE), rng


def birds(seed: int, split: str, count: int) -> Iterator[Bird]:
    """The birds of `examples`, without their images."""
    return (_described(seed, split, index)[0] for index in range(count))


def example(seed: int, split: str, index: int) -> Example:
    """One image as PNG bytes, and its captions."""
    bird, texts, rng = _described(seed, split, index)
    file = io.BytesIO()
    # Level 3 takes half of the default's time, for 8 % more bytes.
    draw_bird(bird, rng).save(file, "PNG", compress_level=3)
    name = f"{split}_{index:05d}"
    return Example(name, file.getvalue(), texts, class_id(bird.colours))


def examples(seed: int, split: str, count: int) -> Iterator[Example]:
    """The first `count` examples of the `train` or the `test` split."""
    made = in_threads(lambda index: example(seed, split, index), range(count))
    return (record for _, record in made)


def single_colour_captions(count: int, seed: int) -> list[tuple[str, str]]:
    """Captions of birds of one colour, with its name; the colours alternate."""
    pairs = []
    for index, colour in zip(range(count), itertools.cycle(_COLOURS)):
        rng = np.random.default_rng([seed, len(_SPLITS), index])
        bird = Bird(
            colours=dict.fromkeys(PARTS, colour),
            pose=pick(rng, POSES),
            left=False,
            size=float(rng.random()),
            long_beak=bool(rng.random() < 0.4),
            ground="plain",
        )
        pairs.append((caption(bird, rng), colour))
    return pairs


class Demo(CaptionedImages):
    """Birds rendered from a seed; needs no files."""

    # 1.1.0 enlarged the beaks; 1.2.0 added checksums
    VERSION = tfds.core.Version("1.2.0")
    DESCRIPTION = "Drawn birds of many colours, with captions."
    NUM_IMAGES: Mapping[str, int] = {"train": 6000, "test": 500}

    def examples(self, report: Report) -> Mapping[str, Iterable[Example]]:
        del report  # nothing is left out or changed
        return {
            split: examples(SEED, split, count)
            for split, count in self.NUM_IMAGES.items()
        }
