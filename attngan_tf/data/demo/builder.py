"""The embedded data set: rendered birds, and captions that describe them.

It is a task like CUB's that a small model learns in minutes. The parts of a
bird have different colours; about a fifth of the birds have a single colour.
The test split has combinations of colours that are not in the train split; see
`held_out`.
"""

import functools
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

    In the test split, the belly's index in PALETTE is 1, 3 or 4 more than that
    of the wings, modulo the number of colours: 33 of the 110 pairs. The same
    pairs with both colours exchanged are in the train split. Of the birds of a
    single colour, one pose is held out, which depends on the colour; so the
    train split has each of these colours in two poses.
    """
    belly, wings = (
        _COLOURS.index(bird.colours[part]) for part in ("belly", "wings")
    )
    if is_single_coloured(bird):
        return bird.pose == POSES[belly % 3]
    return (belly - wings) % len(_COLOURS) in (1, 3, 4)


def class_id(bird: Bird) -> int:
    """The number of the bird's combination of colours."""
    return _combination(bird.colours)


def part_colours(class_ids: np.ndarray) -> np.ndarray:
    """The colours of birds' parts, int [N, parts], from class ids int [N].

    Each is an index of PALETTE; the parts are in the order of PARTS.
    """
    powers = len(_COLOURS) ** np.arange(len(PARTS))
    return class_ids[:, None] // powers % len(_COLOURS)


def single_colour_classes() -> dict[int, str]:
    """The colours of birds of a single colour, by their class ids."""
    return {_combination(dict.fromkeys(PARTS, c)): c for c in _COLOURS}


def _combination(colours: Mapping[str, str]) -> int:
    digits = (_COLOURS.index(colours[part]) for part in PARTS)
    return sum(digit * len(_COLOURS) ** i for i, digit in enumerate(digits))


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
    """Bird `index`, its captions, and the random generator for its image.

    The generator does not depend on other birds.
    """
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
    return Example(name, file.getvalue(), texts, class_id(bird))


def examples(seed: int, split: str, count: int) -> Iterator[Example]:
    """The first `count` examples of the `train` or the `test` split."""
    draw = functools.partial(example, seed, split)
    return (drawn for _, drawn in in_threads(draw, range(count)))


def single_colour_captions(count: int, seed: int) -> list[tuple[str, str]]:
    """Captions of birds of one colour, each with that colour's name.

    The colours alternate. The captions test whether a model generates the
    requested colour (`metrics.colour`).
    """
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
        """The examples of `train` and `test`, each iterated once."""
        del report  # nothing is left out or changed
        return {
            split: examples(SEED, split, count)
            for split, count in self.NUM_IMAGES.items()
        }
