"""Reads pickles of the released data without running code in them."""

import codecs
import contextlib
import functools
import io
import pickle
import re
import reprlib
from collections.abc import Sequence

import numpy as np

from attngan_tf.data.files import read_file

# What pickles of numpy arrays and numbers call; torch.load(weights_only=True)
# allows the same.
_NUMPY = {
    "ndarray": np.ndarray,
    "dtype": np.dtype,
    "_reconstruct": np.zeros(1).__reduce__()[0],
    "_frombuffer": np.zeros(1).__reduce_ex__(5)[0],
    "scalar": np.int64(0).__reduce__()[0],
}
_WHOLE_NUMBER = (int, np.integer)


class PickleError(ValueError):
    """A pickle that is refused or not of the right form; one line."""


def load(path: str) -> object:
    """Reads lists, dicts, strings, numbers and arrays.

    Byte strings of Python 2 are decoded as Latin-1.

    Raises:
      PickleError: the file contains anything else, such as a function call, is
        not a complete pickle, or cannot be read.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise PickleError(f"must be a file to read: {error.strerror}") from None
    try:
        return _Unpickler(data).load()
    except PickleError:
        raise
    except Exception as error:  # a broken pickle can raise nearly anything
        # Python 2's are text, whose line ends git on Windows changes.
        with contextlib.suppress(Exception):
            return _Unpickler(data.replace(b"\r\n", b"\n")).load()
        reason = " ".join(str(error).split())
        raise PickleError(f"not a complete pickle: {reason}") from None


def load_names(path: str) -> list[str]:
    """Reads filenames.pickle: a list of names without extension."""
    names = load(path)
    if not _is_list_of(str, names) or "" in names:
        raise PickleError(
            f"must be a list of names; received {reprlib.repr(names)}"
        )
    return list(names)


def load_class_ids(path: str, count: int) -> list[int]:
    """Reads class_info.pickle: one integer per name."""
    ids = load(path)
    if isinstance(ids, np.ndarray):
        ids = ids.tolist()
    if not _is_list_of(_WHOLE_NUMBER, ids) or len(ids) != count:
        raise PickleError(
            f"must be a list of {count} whole numbers, one for each name; "
            f"received {reprlib.repr(ids)}"
        )
    return [int(number) for number in ids]


def load_words(path: str) -> list[str]:
    """Reads the words of captions.pickle, in the order of their ids."""
    content = load(path)
    is_list = isinstance(content, (list, tuple)) and len(content) == 4
    words = content[2] if is_list else None
    if (
        not isinstance(words, dict)
        or set(words) != set(range(len(words)))
        or not _is_list_of(str, list(words.values()))
    ):
        raise PickleError(
            "must be a list of train captions, test captions, {id: word} and "
            "{word: id}, with each id from 0 on once; received "
            f"{reprlib.repr(content)}"
        )
    return [words[number] for number in range(len(words))]


def save_words(words: Sequence[str], path: str) -> None:
    """Writes a captions.pickle of a vocabulary, without captions."""
    by_id = dict(enumerate(words))
    content = [[], [], by_id, {word: i for i, word in by_id.items()}]
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=2)  # Python 2 reads it


def _is_list_of(kind: type | tuple[type, ...], value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(item, kind) for item in value
    )


class _Unpickler(pickle._Unpickler):
    """Allows what arrays need, and refuses all other functions and classes.

    It extends the unpickler written in Python: the one in C takes 34 GB for a
    pickle of ten bytes with a large memo index.
    """

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module, name):
        if re.fullmatch(r"numpy(\._?core\.(multiarray|numeric))?", module):
            found = _NUMPY.get(name)
        elif (module, name) == ("_codecs", "encode"):
            found = codecs.encode  # bytes, before protocol 3
        else:
            found = None
        if found is None:
            raise PickleError(
                f"refused: it asks for {module}.{name}; only lists, dicts, "
                "strings, numbers and arrays are read"
            )
        if isinstance(found, type):
            return found
        # A new object each time, since a pickle may set attributes.
        return functools.partial(found)
