"""Pickles: the released forms are read; nothing in them is run."""

import os
import pickle
import struct

import numpy as np
import pytest

from attngan_tf.data import pickles

NAMES = ["002.Laysan_Albatross/Laysan_Albatross_0002_1027", "a", "b"]
# What Python 2.7's pickle.dump(["a", "b"]) and cPickle's protocol 2 write.
PYTHON_2_TEXT = b"(lp0\nS'a'\np1\naS'b'\np2\na."
PYTHON_2_BINARY = b"\x80\x02]q\x01(U\x01aq\x02U\x01bq\x03e."
# The same of numpy.array([3, 258]), of numpy 1.
PYTHON_2_ARRAY = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\n"
    b"q\x02K\x00\x85U\x01b\x87Rq\x03(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02"
    b"i8K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    b"K\x00tb\x89U\x10\x03\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00\x00"
    b"\x00\x00tb."
)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture
def file(tmp_path):
    def write(content) -> str:
        path = tmp_path / "some.pickle"
        path.write_bytes(content)
        return str(path)

    return write


def test_names_of_every_protocol(file):
    for protocol in PROTOCOLS:
        assert pickles.load_names(file(pickle.dumps(NAMES, protocol))) == NAMES
    for content in (
        PYTHON_2_TEXT,
        PYTHON_2_BINARY,
        PYTHON_2_TEXT.replace(b"\n", b"\r\n"),  # checked out on Windows
    ):
        assert pickles.load_names(file(content)) == ["a", "b"]


@pytest.mark.parametrize("dtype", ["<i8", ">i4", "u1", "<i2"])
def test_class_ids_of_every_form(file, dtype):
    ids = np.array([2, 2, 77], dtype)
    for protocol in PROTOCOLS:
        for form in (ids, list(ids), ids.tolist()):
            path = file(pickle.dumps(form, protocol))
            found = pickles.load_class_ids(path, 3)
            assert found == [2, 2, 77]
            assert {type(number) for number in found} == {int}
    assert pickles.load_class_ids(file(PYTHON_2_ARRAY), 2) == [3, 258]


def test_captions_pickle_as_released(file):
    content = [[[1, 2], [3]], [[2]], {0: "<end>", 1: "a"}, {"<end>": 0, "a": 1}]
    assert pickles.load(file(pickle.dumps(content, 2))) == content
    assert pickles.load_words(file(pickle.dumps(content, 2))) == ["<end>", "a"]
    content[0] = [np.array([1, 2]), [np.int64(3)]]
    assert pickles.load_words(file(pickle.dumps(content))) == ["<end>", "a"]


class Harm:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def harmful(witness):
    """Pickles that write the file `witness` if they are trusted."""
    touch = f"touch {witness}"
    code = f"open({str(witness)!r}, 'w').close()"
    hidden = f"S'{touch}'\nios\nsystem\n".encode()
    objects = np.empty(1, object)
    objects[0] = Harm(os.system, touch)
    size = struct.pack("<I", len(code))
    chained = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93X" + size
    return {
        "system": pickle.dumps(Harm(os.system, touch)),
        "INST": b"(" + hidden + b".",
        "OBJ": f"(cos\nsystem\nS'{touch}'\no.".encode(),
        "STACK_GLOBAL": chained + code.encode() + b"\x85R.",
        "in an array": pickle.dumps(objects),
    }


@pytest.mark.parametrize("case", harmful("x"))
def test_code_is_not_run(file, tmp_path, case):
    witness = tmp_path / "witness"
    content = harmful(witness)[case]
    with pytest.raises(pickles.PickleError, match="refused: "):
        pickles.load(file(content))
    assert not witness.exists()
    pickle.loads(content)  # without protection, it is run
    assert witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nload\n(S'/etc/passwd'\ntR.",  # another function of numpy
        b"cnumpy.testing\nrundocs\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.fly\x93.",  # a dotted name
        b"cbuiltins\ngetattr\n.",
        b"\x82\x01.",  # an extension
        b"Pfile\n.",  # a persistent id
        b"cnumpy\ndtype\n}Va\nVb\nsb.",  # sets an attribute of a function
        b"\x80\x05\x96" + struct.pack("<Q", 2**40),  # room for 1 TB
        pickle.dumps(NAMES)[:-5],  # truncated
        b"",
        b"001.Black_footed_Albatross\n",  # a text
    ],
)
def test_other_content_is_refused_in_one_line(file, content):
    with pytest.raises(pickles.PickleError) as error:
        pickles.load(file(content))
    assert "\n" not in str(error.value)


def test_a_large_memo_index_takes_no_memory(file):
    # C's unpickler takes 34 GB for it.
    content = b"\x80\x02]r\xff\xff\xff\x7fK\x01a."
    assert pickles.load(file(content)) == [1]


@pytest.mark.parametrize(
    "content", [{"a": 1}, ["a", 2], [b"a"], "a", ["a", ""]]
)
def test_names_must_be_names(file, content):
    with pytest.raises(pickles.PickleError) as error:
        pickles.load_names(file(pickle.dumps(content)))
    rule = f"must be a list of names; received {content!r}"
    assert str(error.value) == rule


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        [1, 2, "3"],
        np.array([1, 2, 0.5]),
        np.zeros((3, 1), int),
        np.array([{}, {}, {}], dtype=object),
        7,
    ],
)
def test_class_ids_must_be_a_number_for_each_name(file, content):
    with pytest.raises(pickles.PickleError, match="a list of 3 whole numbers"):
        pickles.load_class_ids(file(pickle.dumps(content)), 3)


@pytest.mark.parametrize(
    "words", [{0: "<end>", 2: "a"}, {0: b"<end>"}, ["<end>"]]
)
def test_words_must_be_a_dict_by_id(file, words):
    with pytest.raises(pickles.PickleError, match="with each id from 0 on"):
        pickles.load_words(file(pickle.dumps([[], [], words, {}])))
