"""The embedded data set: drawn birds, and captions that describe them.

A task like CUB's that a small model learns in minutes. Birds have parts of
different colours, about a fifth of them one colour all over. The test split
shows combinations that the train split never does, see `held_out`.
"""

import functools
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from attngan_tf.data.demo.drawing import (
    GROUNDS,
    PALETTE,
    PARTS,
    POSES,
    Bird,
    draw_bird,
)
from attngan_tf.data.entries import in_threads
from attngan_tf.data.records import CaptionedPictures, Example, Report

CAPTIONS_PER_IMAGE = 6
MOST_WORDS = 18  # of a caption
SEED = 0  # of the prepared data set
_SPLITS = ("train", "test")
_SINGLE_COLOUR = 0.2  # share of birds of one colour
_COLOURS = tuple(PALETTE)
_BEAKS = ("black", "grey", "white", "yellow", "orange", "red", "brown")
BODY = PARTS[:4]  # all but the beak

NOUNS = {
    "crown": ("crown", "crown", "cap"),
    "back": ("back",),
    "wings": ("wings",),
    "belly": ("belly", "belly", "breast"),
    "beak": ("beak", "beak", "bill"),
}
_POSE_WORDS = {
    "perched": ("perched on a branch", "sitting on a branch"),
    "standing": ("standing on the ground",),
    "flying": ("flying", "in flight"),
}


def held_out(bird: Bird) -> bool:
    """Whether the combination is kept for the test split.

    A belly and wings are for testing when the belly's place in PALETTE is 1,
    3 or 4 behind the wings', counted in a circle: 33 of the 110 pairs; with
    the two colours exchanged, the pair is for training. So is a bird of one
    colour in one of the three poses, another one for each next colour: every
    colour is seen all over in training, in the two other poses.
    """
    belly, wings = (
        _COLOURS.index(bird.colours[part]) for part in ("belly", "wings")
    )
    if is_single_coloured(bird):
        return bird.pose == POSES[belly % 3]
    return (belly - wings) % len(_COLOURS) in (1, 3, 4)


def is_single_coloured(bird: Bird) -> bool:
    """Whether all parts, the beak too, have one colour."""
    return len(set(bird.colours.values())) == 1


def class_id(bird: Bird) -> int:
    """A number for each combination of colours."""
    return _combination(bird.colours)


def part_colours(class_ids: np.ndarray) -> np.ndarray:
    """The colours of birds' parts, int [N, parts], from class ids int [N].

    Each is an index of PALETTE; the parts stand in the order of PARTS.
    """
    powers = len(_COLOURS) ** np.arange(len(PARTS))
    return class_ids[:, None] // powers % len(_COLOURS)


def single_colour_classes() -> dict[int, str]:
    """The colour of birds of one colour all over, by their class id."""
    return {_combination(dict.fromkeys(PARTS, c)): c for c in _COLOURS}


def _combination(colours: Mapping[str, str]) -> int:
    digits = (_COLOURS.index(colours[part]) for part in PARTS)
    return sum(digit * len(_COLOURS) ** i for i, digit in enumerate(digits))


def _pick(rng: np.random.Generator, choices: Sequence):
    return choices[int(rng.integers(len(choices)))]


def _random_colours(
    single: bool, rng: np.random.Generator
) -> Mapping[str, str]:
    if single:
        return dict.fromkeys(PARTS, _pick(rng, _COLOURS))
    wings = _pick(rng, _COLOURS)
    belly = _pick(rng, [name for name in _COLOURS if name != wings])
    crown = _pick(rng, _COLOURS)
    # A back like the wings or the crown makes "a blue bird with ..." apt.
    back = _pick(rng, [wings, wings, crown, crown, _pick(rng, _COLOURS)])
    colours = {"crown": crown, "back": back, "wings": wings, "belly": belly}
    return colours | {"beak": _pick(rng, _BEAKS)}


def random_bird(split: str, rng: np.random.Generator) -> Bird:
    """A bird of the `train` or the `test` split."""
    single = rng.random() < _SINGLE_COLOUR
    while True:
        bird = Bird(
            colours=_random_colours(single, rng),
            pose=_pick(rng, POSES),
            left=bool(rng.random() < 0.5),
            size=float(rng.random()),
            long_beak=bool(rng.random() < 0.4),
            ground=_pick(rng, GROUNDS),
        )
        if held_out(bird) == (split == "test"):
            return bird


def _size_word(bird: Bird, rng: np.random.Generator) -> str:
    """A word for the size or "": medium birds have none."""
    words = ("",)
    if bird.size < 0.3:
        words = ("small", "tiny", "")
    elif bird.size > 0.7:
        words = ("large", "big", "")
    return _pick(rng, words)


def _phrase(bird: Bird, part: str, rng: np.random.Generator) -> str:
    """Such as "an orange crown" or "a short black beak"."""
    words = [bird.colours[part], _pick(rng, NOUNS[part])]
    if part == "beak" and rng.random() < 0.7:
        words.insert(0, "long" if bird.long_beak else "short")
    if part != "wings":
        words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    return " ".join(words)


def _listed(phrases: Sequence[str]) -> str:
    """Phrases joined by commas and "and"."""
    *others, last = phrases
    return f"{', '.join(others)} and {last}" if others else last


def _named_parts(rng: np.random.Generator) -> list[str]:
    """Four parts in any order: the body's, or the beak in place of one."""
    parts = [str(part) for part in rng.permutation(BODY)]
    if rng.random() < 0.5:
        parts[3] = "beak"
    return [parts[i] for i in rng.permutation(4)]


def _part_caption(bird: Bird, rng: np.random.Generator) -> str:
    """Names the colours of parts one by one."""
    parts = _named_parts(rng)
    if rng.random() < 0.15:
        clauses = [
            f"the {_pick(rng, NOUNS[part])} "
            f"{'are' if part == 'wings' else 'is'} {bird.colours[part]}"
            for part in parts
        ]
        return _listed(clauses)
    phrases = _listed([_phrase(bird, part, rng) for part in parts])
    size, pose = _size_word(bird, rng), _pick(rng, _POSE_WORDS[bird.pose])
    form = _pick(
        rng,
        (
            "this {size} bird has {phrases}",
            "the {size} bird has {phrases}",
            "a {size} bird with {phrases}",
            "this is a {size} bird that has {phrases}",
            "a {size} bird {pose} with {phrases}",
            "this {size} bird is {pose} and has {phrases}",
        ),
    )
    return form.format(size=size, pose=pose, phrases=phrases)


def _main_colour(bird: Bird) -> str | None:
    """The colour of two or more parts of the body, if there is just one."""
    colours = [bird.colours[part] for part in BODY]
    common = {name for name in colours if colours.count(name) > 1}
    return common.pop() if len(common) == 1 else None


def _main_colour_caption(bird: Bird, rng: np.random.Generator) -> str:
    """Names one colour, and every part of the body that has another."""
    main = _main_colour(bird)
    parts = [part for part in BODY if bird.colours[part] != main]
    if rng.random() < 0.4:
        parts.append("beak")
    parts = [parts[i] for i in rng.permutation(len(parts))]
    phrases = _listed([_phrase(bird, part, rng) for part in parts])
    size, pose = _size_word(bird, rng), _pick(rng, _POSE_WORDS[bird.pose])
    form = _pick(
        rng,
        (
            "a {size} {main} bird with {phrases}",
            "this {size} bird is {main} with {phrases}",
            "this is a {size} {main} bird with {phrases}",
            "a {size} {main} bird {pose} with {phrases}",
        ),
    )
    return form.format(size=size, pose=pose, main=main, phrases=phrases)


def _single_colour_caption(bird: Bird, rng: np.random.Generator) -> str:
    """Names one colour for the whole bird."""
    words = {
        "size": _size_word(bird, rng),
        "pose": _pick(rng, _POSE_WORDS[bird.pose]),
        "all": _pick(rng, ("completely", "entirely", "all")),
        "colour": bird.colours["belly"],
        "beak": "long" if bird.long_beak else "short",
    }
    form = _pick(
        rng,
        (
            "the {size} bird is {all} {colour}",
            "this {size} bird is {all} {colour}",
            "this {size} bird is {colour} all over",
            "a {size} bird that is {all} {colour}",
            "a {size} bird {pose} that is {colour} all over",
            "every part of this {size} bird is {colour}",
            "the whole bird is {colour} and it has a {beak} beak",
            "this bird is {colour} from its crown to its belly and wings",
        ),
    )
    return form.format(**words)


def caption(bird: Bird, rng: np.random.Generator) -> str:
    """A sentence that is true of the bird, MOST_WORDS long at most."""
    while True:
        if is_single_coloured(bird):
            text = _single_colour_caption(bird, rng)
        elif _main_colour(bird) and rng.random() < 0.4:
            text = _main_colour_caption(bird, rng)
        else:
            text = _part_caption(bird, rng)
        words = text.split()  # an empty word leaves two blanks
        if len(words) <= MOST_WORDS:
            return " ".join(words)


def _captions(bird: Bird, rng: np.random.Generator) -> list[str]:
    found = {}  # a dict keeps the order
    while len(found) < CAPTIONS_PER_IMAGE:
        found[caption(bird, rng)] = None
    return list(found)


def _generator(seed: int, split: str, index: int) -> np.random.Generator:
    """The only source of a picture's chance: it depends on no other one."""
    return np.random.default_rng([seed, _SPLITS.index(split), index])


def birds(seed: int, split: str, count: int) -> Iterator[Bird]:
    """What the pictures of `examples` show, without drawing them."""
    for index in range(count):
        yield random_bird(split, _generator(seed, split, index))


def example(seed: int, split: str, index: int) -> Example:
    """One picture as PNG bytes, and its captions."""
    rng = _generator(seed, split, index)
    bird = random_bird(split, rng)
    captions = _captions(bird, rng)
    buffer = io.BytesIO()
    # Level 3 takes half of the default's time, for 8 % more bytes.
    draw_bird(bird, rng).save(buffer, "PNG", compress_level=3)
    return Example(
        name=f"{split}_{index:05d}",
        image=buffer.getvalue(),
        captions=captions,
        class_id=class_id(bird),
    )


def examples(seed: int, split: str, count: int) -> Iterator[Example]:
    """The first `count` examples of the `train` or the `test` split."""
    draw = functools.partial(example, seed, split)
    return (drawn for _, drawn in in_threads(draw, range(count)))


def single_colour_captions(count: int, seed: int) -> list[tuple[str, str]]:
    """Captions of birds of one colour, each with that colour's name.

    The colours take turns. For asking a generator for a colour, and looking
    whether it came (`metrics.colour`).
    """
    pairs = []
    for index, colour in zip(range(count), itertools.cycle(_COLOURS)):
        rng = np.random.default_rng([seed, len(_SPLITS), index])
        bird = Bird(
            colours=dict.fromkeys(PARTS, colour),
            pose=_pick(rng, POSES),
            left=False,
            size=float(rng.random()),
            long_beak=bool(rng.random() < 0.4),
            ground="plain",
        )
        pairs.append((caption(bird, rng), colour))
    return pairs


class Demo(CaptionedPictures):
    """Birds drawn from a seed; needs no files."""

    # 1.0.0: smaller beaks; 1.1.0: without checksums
    VERSION = tfds.core.Version("1.2.0")
    DESCRIPTION = "Drawn birds of many colours, with captions."
    PICTURES: Mapping[str, int] = {"train": 6000, "test": 500}

    def examples(self, report: Report) -> Mapping[str, Iterable[Example]]:
        """The examples of `train` and `test`, each iterated once."""
        del report  # nothing is left out or changed
        return {
            split: examples(SEED, split, count)
            for split, count in self.PICTURES.items()
        }
