"""Captions from arguments, from a file, or from a sentence with choices."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from attngan_tf.errors import UserError
from attngan_tf.io.text import NotUtf8Error, text_lines

MAX_VARIANTS = 32  # rows of a sheet
CHOICES = re.compile(r"\{([^{}]*)\}")


def clean(text: str) -> str:
    """An argument as valid Unicode, since a shell may pass any bytes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_captions(path: str | None, arguments: Sequence[str]) -> list[str]:
    """The captions in a command's arguments and in a file.

    Raises:
      UserError: there are no captions, or the file cannot be read.
    """
    captions = [clean(text) for text in arguments]
    if path:
        try:
            with open(path, "rb") as file:
                captions += [line for _, line in text_lines(file.read())]
        except OSError as error:
            raise UserError(
                f"--captions_file must be a text file; {error}"
            ) from None
        except NotUtf8Error as error:
            raise UserError(
                "--captions_file must be text in UTF-8 with one caption per "
                f"line; found {error} in {path}{error.where}; save it as UTF-8"
            ) from None
    if not captions:
        raise UserError(
            "generate needs a caption; received none; write it in quotes "
            "after the flags, or use --captions_file"
        )
    return captions


class Variant(NamedTuple):
    """One of several sentences, and the indices of its words that differ."""

    caption: str
    changed: frozenset[int]


def variants(template: str) -> list[Variant]:
    """All sentences of a template with choices: "a {red|blue} bird".

    These are all combinations of the choices; the last choice changes fastest.
    A choice may be several words, empty, or part of a word. Indices count the
    words, split at white space, from 0.

    Raises:
      UserError: there are no choices, unpaired braces, or too many sentences.
    """
    # The odd parts were in braces.
    parts = CHOICES.split(template)
    choices = [part.split("|") for part in parts[1::2]]
    outside = "".join(parts[::2])
    if not choices or min(map(len, choices)) < 2 or set(outside) & set("{}"):
        raise UserError(
            "--grid must be a sentence with two or more choices in each pair "
            f"of braces; received {template!r}; write, for example, "
            '--grid="a {red|blue} bird"'
        )
    count = math.prod(map(len, choices))
    if count > MAX_VARIANTS:
        raise UserError(
            f"--grid must describe at most {MAX_VARIANTS} sentences; received "
            f"{template!r}, which describes {count}; offer fewer choices"
        )
    return [_variant(parts, chosen) for chosen in itertools.product(*choices)]


def _variant(parts: Sequence[str], chosen: Sequence[str]) -> Variant:
    """The sentence in which the odd parts are replaced by these choices."""
    texts = [*parts]
    # Marks each word of a choice.
    texts[1::2] = [re.sub(r"(\S+)", "\0\\1", choice) for choice in chosen]
    words = "".join(texts).split()
    changed = frozenset(i for i, word in enumerate(words) if "\0" in word)
    return Variant(" ".join(words).replace("\0", ""), changed)
