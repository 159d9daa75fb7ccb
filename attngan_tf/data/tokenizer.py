"""The tokenizers, in graph: from captions to words.

The input pipeline and the exported SavedModel use the same code.
"""

import re
from collections.abc import Sequence

import tensorflow as tf

from attngan_tf.data import unicode_text

# Letters of scripts that are written without spaces between words.
_SCRIPTS = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")
# Characters that are neither outside of the script nor a mark.
_UNSPACED = "|".join(rf"[^\P{{{name}}}\p{{M}}]" for name in _SCRIPTS)
# What a caption must contain to have a word.
_WORD = {"ascii": re.compile(r"[a-z0-9_]"), "unicode": re.compile(r"\w")}


def tokenize(
    captions: tf.Tensor | Sequence[str], tokenizer: str = "ascii"
) -> tf.RaggedTensor:
    r"""Words of each caption.

    `ascii` is the released code's rule: lower case, Python's `\w+`, then
    non-ASCII characters dropped. `unicode` separates words that consist of any
    language's letters, marks and digits, case-folded and in NFC. Scripts
    without spaces between words are separated by character: Chinese, Japanese
    kana, Thai, Lao, Khmer and Burmese. Bytes that are not UTF-8 separate words.

    Args:
      captions: string [B].
      tokenizer: `ascii` or `unicode`.

    Returns:
      string [B, words of each caption].
    """
    text = separated(captions, tokenizer)
    if tokenizer == "ascii":
        text = tf.strings.regex_replace(text, r"[^\x00-\x7F]", "")
    return tf.strings.split(text)


def separated(captions: tf.Tensor | Sequence[str], tokenizer: str) -> tf.Tensor:
    """The words of each caption with spaces between them: string [B].

    For `ascii`, they still have their non-ASCII characters.
    """
    # A zero byte ends a string in some of these operations.
    text = tf.strings.regex_replace(captions, r"\x00", " ")
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8")
    if tokenizer == "ascii":
        text = tf.strings.lower(text, encoding="utf-8")
        # RE2's \w is ASCII only: letters, digits and the underscore are named.
        return tf.strings.regex_replace(text, r"[^\p{L}\p{N}_]+", " ")
    text = unicode_text.fold(text)
    # Characters such as soft hyphens and joiners are parts of a word.
    text = tf.strings.regex_replace(text, r"\p{Cf}", "")
    # Marks without a letter, such as those of emoji, are no words.
    text = tf.strings.regex_replace(
        text, r"([^\p{L}\p{M}\p{N}_]+|^)\p{M}*", " "
    )
    return tf.strings.regex_replace(
        text, rf"((?:{_UNSPACED})\p{{M}}*)", r" \1 "
    )


def has_word(caption: str, tokenizer: str) -> bool:
    """Whether a caption contains a word of the tokenizer."""
    return bool(_WORD[tokenizer].search(caption.lower()))


def has_letters_outside_ascii(caption: str) -> bool:
    """Whether a caption contains letters that `ascii` drops."""
    return any(x.isalpha() and not x.isascii() for x in caption)
