"""CUB with hostile pickles: some run code where they are trusted."""

import os
import pathlib
import pickle
import runpy
import struct
import subprocess
from collections.abc import Iterator

import numpy as np

from .cases import Case, write
from .drawn import noise, saved

NAMES = {
    "train": ["002.Wren/a", "002.Wren/b"],
    "test": ["003.Gull/c", "003.Gull/d"],
}
REFUSED = "refused: (it asks for|arrays must hold integers)"
BROKEN = "not a whole pickle|refused: |arrays must have one dimension"


class Harm:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def harmful(marker: str) -> dict[str, bytes]:
    """Pickles that write the file `marker` where they are trusted."""
    touch, code = f"touch '{marker}'", f"open({marker!r}, 'w').close()"
    hidden = f'S"{touch}"\nios\nsystem\n'.encode()
    chained = (
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93"
        + b"X"
        + struct.pack("<I", len(code))
        + code.encode()
        + b"\x85R."
    )
    objects = np.empty(1, object)
    objects[0] = Harm(os.system, touch)
    return {
        **{
            f"os.system, protocol {protocol}": pickle.dumps(
                Harm(os.system, touch), protocol
            )
            for protocol in (0, 2, 5)
        },
        "subprocess": pickle.dumps([Harm(subprocess.getoutput, touch)]),
        "exec": pickle.dumps({"a": Harm(exec, code)}),
        "eval": pickle.dumps(("b", Harm(eval, code)), 2),
        "open": pickle.dumps(Harm(open, marker, "w"), 2),
        "touch": pickle.dumps(Harm(pathlib.Path.touch, pathlib.Path(marker))),
        "runpy": pickle.dumps(Harm(runpy.run_path, f"{marker}.py")),
        "INST": b"(" + hidden + b".",
        "OBJ": b'(cos\nsystem\nS"' + touch.encode() + b'"\no.',
        "behind names": b"(lp0\nS'a'\na(" + hidden + b"0.",
        "STACK_GLOBAL": chained,
        "as a key": pickle.dumps({Harm(os.system, touch): 1}),
        "in an array": pickle.dumps(objects),
    }


def _bombs() -> Iterator[tuple[str, bytes, str]]:
    yield (
        "far memo",
        b"\x80\x02]r\xff\xff\xff\x7fK\x01a.",
        "must be a list of names",
    )
    twice = b"K\x01\x85" + b"2\x86" * 64
    yield "key that never hashes", b"}" + twice + b"K\x01s.", BROKEN
    yield "set", b"\x80\x04\x8f(" + twice + b"\x90.", BROKEN
    yield "frozen set", b"\x80\x04(" + twice + b"\x91.", BROKEN
    yield "room for 1 TB", b"\x80\x05\x96" + struct.pack("<Q", 2**40), BROKEN
    yield "number of 2 GB", b"\x8b\xff\xff\xff\x7f1.", BROKEN
    yield "deep lists", b"(" * 200000 + b"l" * 200000 + b".", "a list of list"
    yield (
        "shape that is never told",
        (
            b"cnumpy.core.multiarray\n_reconstruct\n(tR(K\x01"
            + twice
            + b"cnumpy\ndtype\n(Vi8\ntR\x89C\0tb."
        ),
        BROKEN,
    )
    yield "persistent id", b"Pfile\n.", BROKEN
    yield "extension", b"\x82\x01.", BROKEN
    yield "cut", pickle.dumps(NAMES["train"])[:-5], BROKEN
    yield "empty", b"", BROKEN
    yield "text", b"002.Wren/a\n", BROKEN
    yield "dict", pickle.dumps({"a": 1}), "must be a list of names"


def names() -> Iterator[tuple[str, bytes, str]]:
    """Hostile filenames.pickle: kind, bytes, fault."""
    yield from _bombs()
    for name in ("../../../etc/passwd", "002.Wren/\0", "\ud83d", "a\nb\x1b[1m"):
        kind = f"name {name!r}"
        content = pickle.dumps([NAMES["train"][0], name])
        yield kind, content, "must name pictures of images.txt"


def class_ids() -> Iterator[tuple[str, bytes, str]]:
    """Hostile class_info.pickle."""
    yield "class of 300 digits", pickle.dumps([10**300, 2]), "at most 64 bits"
    yield "class of text", pickle.dumps(["2", 2]), "must be a list of whole"
    yield "too many classes", pickle.dumps([2] * 10**6), "for each of the 2"


def make_cub(root: pathlib.Path) -> None:
    """A small CUB that is whole."""
    names = NAMES["train"] + NAMES["test"]
    birds = root / "CUB_200_2011"
    write(
        birds / "images.txt",
        "".join(f"{i} {name}.jpg\n" for i, name in enumerate(names)).encode(),
    )
    write(
        birds / "bounding_boxes.txt",
        "".join(f"{i} 4 4 20 12\n" for i in range(len(names))).encode(),
    )
    for name in names:
        write(birds / f"images/{name}.jpg", saved(noise(), "JPEG"))
        write(root / f"text/{name}.txt", b"a bird\n" * 10)
    for split, listed in NAMES.items():
        write(root / split / "filenames.pickle", pickle.dumps(listed, 2))
        ids = [int(name[:3]) for name in listed]
        write(root / split / "class_info.pickle", pickle.dumps(ids, 2))


def make(root: pathlib.Path) -> list[Case]:
    """A CUB for each two pickles: one for train, and one for test."""
    harm = harmful(str(root / "marker"))
    write(root / "marker.py", b"open(__file__[:-3], 'w').close()\n")
    code = [(kind, content, REFUSED) for kind, content in harm.items()]
    files = {
        "filenames.pickle": [*code, *names()],
        "class_info.pickle": [*code[-3:], *class_ids()],
    }
    cases = []
    for file, listed in files.items():
        for number, (kind, content, fault) in enumerate(listed):
            data_set = f"cub_{file[:-7]}{number // 2}"
            if number % 2 == 0:
                make_cub(root / data_set)
            place = f"{('train', 'test')[number % 2]}/{file}"
            write(root / data_set / place, content)
            cases.append(Case(f"pickle: {kind}", data_set, place, fault))
    return cases
