"""Writes the captions of the demo data set, and reads their colours."""

import re
from collections.abc import Sequence

import numpy as np

from attngan_tf.data.demo.drawing import PALETTE, PARTS, Bird

MAX_WORDS = 18  # of a caption
BODY = PARTS[:4]  # all but the beak
NOUNS = {
    "crown": ("crown", "crown", "cap"),
    "back": ("back",),
    "wings": ("wings",),
    "belly": ("belly", "belly", "breast"),
    "beak": ("beak", "beak", "bill"),
}
_PARTS_BY_NOUN = {noun: part for part in NOUNS for noun in NOUNS[part]}
_POSES = {
    "perched": ("perched on a branch", "sitting on a branch"),
    "standing": ("standing on the ground",),
    "flying": ("flying", "in flight"),
}
_PART_FORMS = (
    "this {size} bird has {phrases}",
    "the {size} bird has {phrases}",
    "a {size} bird with {phrases}",
    "this is a {size} bird that has {phrases}",
    "a {size} bird {pose} with {phrases}",
    "this {size} bird is {pose} and has {phrases}",
)
_MAIN_COLOUR_FORMS = (
    "a {size} {main} bird with {phrases}",
    "this {size} bird is {main} with {phrases}",
    "this is a {size} {main} bird with {phrases}",
    "a {size} {main} bird {pose} with {phrases}",
)
_SINGLE_COLOUR_FORMS = (
    "the {size} bird is {all} {colour}",
    "this {size} bird is {all} {colour}",
    "this {size} bird is {colour} all over",
    "a {size} bird that is {all} {colour}",
    "a {size} bird {pose} that is {colour} all over",
    "every part of this {size} bird is {colour}",
    "the whole bird is {colour} and it has a {beak} beak",
    "this bird is {colour} from its crown to its belly and wings",
)


def pick(rng: np.random.Generator, choices: Sequence):
    """A random item of a sequence."""
    return choices[int(rng.integers(len(choices)))]


def is_single_coloured(bird: Bird) -> bool:
    """Whether all parts, the beak too, have one colour."""
    return len(set(bird.colours.values())) == 1


def caption(bird: Bird, rng: np.random.Generator) -> str:
    """A true sentence about the bird, of at most MAX_WORDS words."""
    while True:
        if is_single_coloured(bird):
            text = _single_colour_caption(bird, rng)
        elif _main_colour(bird) and rng.random() < 0.4:
            text = _main_colour_caption(bird, rng)
        else:
            text = _part_caption(bird, rng)
        words = text.split()  # an empty word leaves two blanks
        if len(words) <= MAX_WORDS:
            return " ".join(words)


def captions(bird: Bird, rng: np.random.Generator, count: int) -> list[str]:
    """A number of different captions of the bird."""
    found = {}  # ordered
    while len(found) < count:
        found[caption(bird, rng)] = None
    return list(found)


def _size_word(bird: Bird, rng: np.random.Generator) -> str:
    """A word for the size or "": medium birds have none."""
    words = ("",)
    if bird.size < 0.3:
        words = ("small", "tiny", "")
    elif bird.size > 0.7:
        words = ("large", "big", "")
    return pick(rng, words)


def _phrase(bird: Bird, part: str, rng: np.random.Generator) -> str:
    """Such as "an orange crown" or "a short black beak"."""
    words = [bird.colours[part], pick(rng, NOUNS[part])]
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
            f"the {pick(rng, NOUNS[part])} "
            f"{'are' if part == 'wings' else 'is'} {bird.colours[part]}"
            for part in parts
        ]
        return _listed(clauses)
    return _fill(_PART_FORMS, bird, parts, rng)


def _fill(
    forms: Sequence[str],
    bird: Bird,
    parts: Sequence[str],
    rng: np.random.Generator,
    **words: str,
) -> str:
    phrases = _listed([_phrase(bird, part, rng) for part in parts])
    size, pose = _size_word(bird, rng), pick(rng, _POSES[bird.pose])
    form = pick(rng, forms)
    return form.format(size=size, pose=pose, phrases=phrases, **words)


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
    return _fill(_MAIN_COLOUR_FORMS, bird, parts, rng, main=main)


def _single_colour_caption(bird: Bird, rng: np.random.Generator) -> str:
    """Names one colour for the whole bird."""
    words = {
        "size": _size_word(bird, rng),
        "pose": pick(rng, _POSES[bird.pose]),
        "all": pick(rng, ("completely", "entirely", "all")),
        "colour": bird.colours["belly"],
        "beak": "long" if bird.long_beak else "short",
    }
    return pick(rng, _SINGLE_COLOUR_FORMS).format(**words)


def asked_colours(caption: str) -> dict[str, str]:
    """The requested colour, in PALETTE, of each part that a caption names.

    A colour belongs to the part whose noun follows it ("a red belly") or
    precedes it ("the wings are blue"). Any other colour is the whole bird's. If
    single parts have colours, too ("a blue bird with a red belly"), it applies
    to the other parts of the body, but not to the beak.
    """
    words = re.findall(r"[a-z]+", caption.lower())
    own, whole = {}, None
    for i, word in enumerate(words):
        if word not in PALETTE:
            continue
        part = _described_part(words, i)
        if part:
            own[part] = word
        else:
            whole = word
    if whole is None:
        return own
    return dict.fromkeys(BODY if own else PARTS, whole) | own


def _described_part(words: Sequence[str], i: int) -> str | None:
    """The part that colour word `i` describes; None: the whole bird."""
    following = "".join(words[i + 1 : i + 2])
    if following in _PARTS_BY_NOUN:
        return _PARTS_BY_NOUN[following]
    if i >= 2 and words[i - 1] in ("is", "are"):
        return _PARTS_BY_NOUN.get(words[i - 2])
    return None
