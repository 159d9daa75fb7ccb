"""Reads captions of the demo data set: which part should have which colour."""

import re
from collections.abc import Sequence

from attngan_tf.data.demo.builder import BODY, NOUNS, PALETTE, PARTS

_PARTS = {noun: part for part, nouns in NOUNS.items() for noun in nouns}
_VERBS = ("is", "are")


def asked_colours(caption: str) -> dict[str, str]:
    """The colour that a caption asks for, for each part that it names.

    A colour belongs to the part whose noun follows it ("a red belly") or
    precedes it ("the wings are blue"). Any other colour is that of the whole
    bird. It names every part; but beside parts that have colours of their own
    ("a blue bird with a red belly") only the rest of the body, since such
    captions leave the beak open.

    Returns:
      Colours, of PALETTE, by parts, of PARTS.
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
    """The part whose colour word `i` is; None: the whole bird's."""
    following = words[i + 1 : i + 2]
    if following and following[0] in _PARTS:
        return _PARTS[following[0]]
    if i >= 2 and words[i - 1] in _VERBS:
        return _PARTS.get(words[i - 2])
    return None
