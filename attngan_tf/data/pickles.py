"""Pickles of the released data, read without running what is in them."""

import contextlib
import functools
import io
import math
import pickle
import re
import reprlib
from collections.abc import Sequence

import numpy as np

from attngan_tf.data.files import read_file

_INTEGER = re.compile(r"[<>|=]?[iu][1248]")
_MAX_CLASS_ID = 2**63 - 1


class PickleError(ValueError):
    """A pickle that is refused or not of the right form; one line."""


def load(path: str) -> object:
    """Reads lists, dicts, texts, numbers and integer arrays (as lists).

    Python 2's pickles are read, too; their byte strings as Latin-1.

    Raises:
      PickleError: it asks for anything else, such as running a function, or
        is not a complete pickle, or cannot be read.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise PickleError(f"must be a file to read: {error.strerror}") from None
    try:
        return _load(data)
    except PickleError:
        raise
    except Exception as error:  # a broken pickle can raise nearly anything
        # Python 2's are text; git on Windows changes their line ends.
        with contextlib.suppress(Exception):
            return _load(data.replace(b"\r\n", b"\n"))
        reason = " ".join(str(error).split())
        raise PickleError(f"not a whole pickle: {reason}") from None


def load_names(path: str) -> list[str]:
    """Reads filenames.pickle: a list of names without ending."""
    names = load(path)
    if not _is_list_of(str, names) or "" in names:
        raise PickleError(f"must be a list of names; received {_form(names)}")
    return list(names)


def load_class_ids(path: str, count: int) -> list[int]:
    """Reads class_info.pickle: one whole number a name."""
    ids = load(path)
    if not _is_list_of(int, ids):
        raise PickleError(
            f"must be a list of whole numbers; received {_form(ids)}"
        )
    if any(abs(number) > _MAX_CLASS_ID for number in ids):
        raise PickleError("must be whole numbers of at most 64 bits")
    if len(ids) != count:
        raise PickleError(
            f"must hold a number for each of the {count} names; received "
            f"{len(ids)}"
        )
    return list(ids)


def load_words(path: str) -> list[str]:
    """Reads the words of captions.pickle, in the order of their ids."""
    content = load(path)
    if not isinstance(content, (list, tuple)) or len(content) != 4:
        raise PickleError(
            "must be a list of train captions, test captions, {id: word} and "
            f"{{word: id}}; received {_form(content)}"
        )
    words = content[2]
    if not (
        isinstance(words, dict)
        and _is_list_of(int, list(words))
        and _is_list_of(str, list(words.values()))
    ):
        raise PickleError(
            f"must hold a dict of words by id; received {_form(words)}"
        )
    if sorted(words) != list(range(len(words))):
        raise PickleError(
            f"ids must be 0 to {len(words) - 1}, each once; received "
            f"{min(words, default=None)} to {max(words, default=None)}"
        )
    return [words[number] for number in range(len(words))]


def save_words(words: Sequence[str], path: str) -> None:
    """Writes a captions.pickle of a vocabulary, without captions."""
    by_id = dict(enumerate(words))
    content = [[], [], by_id, {word: i for i, word in by_id.items()}]
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=2)  # Python 2 reads it


def _is_list_of(kind: type, value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(
        type(item) is kind for item in value
    )


def _form(value: object) -> str:
    if isinstance(value, (list, tuple)):
        kinds = sorted({type(item).__name__ for item in value})
        return f"a {type(value).__name__} of {' and '.join(kinds) or 'nothing'}"
    return f"a {type(value).__name__}"


def _load(data: bytes) -> object:
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


class _Unpickler(pickle._Unpickler):
    """Substitutes the few names that integer arrays need, refuses all others.

    This is Python's unpickler: C's takes 34 GB for a pickle of ten bytes with
    a large memo index.
    """

    def find_class(self, module, name):
        numpy_core = re.fullmatch(
            r"numpy\._?core\.(multiarray|numeric)", module
        )
        function = None
        if numpy_core or module == "numpy":
            function = _NUMPY.get(name)
        elif (module, name) == ("_codecs", "encode"):
            function = _encode
        if function is None:
            raise PickleError(
                f"refused: it asks for {module}.{name}; only lists, dicts, "
                "texts, numbers and integer arrays are read"
            )
        # A new object each time, since a pickle may set attributes.
        return functools.partial(function)


class _DType:
    """Replaces numpy.dtype of an integer."""

    def __init__(self, code, *unused):
        if not isinstance(code, str) or not _INTEGER.fullmatch(code):
            raise PickleError(
                "refused: arrays must hold integers; received dtype "
                f"{reprlib.repr(code)}"
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        # (version, byte order, ...)
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Integers(list):
    """Replaces numpy.ndarray of one dimension: a list of int."""

    def __setstate__(self, state):
        _, shape, dtype, _, raw = state
        self.extend(_from_bytes(raw, dtype, shape))


def _from_bytes(raw, dtype: _DType, shape, *unused) -> list[int]:
    if isinstance(raw, str):  # Python 2's bytes
        raw = raw.encode("latin1")
    numbers = np.frombuffer(raw, dtype.dtype).tolist()
    if len(shape) != 1 or math.prod(shape) != len(numbers):
        raise PickleError(
            "arrays must have one dimension; received shape "
            f"{reprlib.repr(shape)}"
        )
    return numbers


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise PickleError(f"refused: bytes encoded by {reprlib.repr(encoding)}")
    return text.encode("latin1")


_NUMPY = {
    "_reconstruct": lambda *unused: _Integers(),
    "_frombuffer": _from_bytes,
    "ndarray": lambda *unused: _Integers(),
    "dtype": _DType,
    "scalar": lambda dtype, raw: _from_bytes(raw, dtype, (1,))[0],
}
