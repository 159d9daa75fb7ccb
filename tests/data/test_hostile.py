"""Hostile files in one data set: listed as faults, or read as they should be.

Hostile pickles are in test_pickles.py, JSON in test_coco.py.
"""

import os
import pathlib
import re

import numpy as np
import tensorflow as tf

from attngan_tf.data.views import Records
from attngan_tf.errors import printable
from tests.data import helpers
from tests.data.hostile import texts
from tests.data.hostile.drawn import noise, saved
from tests.data.hostile.pictures import every_picture

GOOD = saved(noise())
FINE_NAMES = (
    'it\'s "quoted" (1)',
    "--help",
    "$(touch pwned); `id` | cat & #",
    "%s%n{0}",
    "vögel/küken",
    "vo\u0308gel/ku\u0308ken",
    "left\u202egnp.exe",
    "esc\x1b[31mred\x1b[0m",
    "bell\x07 and tab\tname",
    "star*[a-z]?",
    "Case",
    "case",
    ".hidden",
    "/".join("deep" for _ in range(40)),
    "n" * 251,
)


def _sparse(path: pathlib.Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)


# Files that are none, and the faults of an image and of a text.
SPECIAL = {
    "device": (
        lambda p: p.symlink_to("/dev/zero"),
        *["not a regular file"] * 2,
    ),
    "link to nothing": (
        lambda p: p.symlink_to("nothing"),
        *("must be there", "No such file or directory"),
    ),
    "link to itself": (
        lambda p: p.symlink_to(p.name),
        *("must be there", "symbolic links"),
    ),
    "terabyte": (_sparse, *["1099511627776 bytes, more than 268435456"] * 2),
}


class Hostile(helpers.Files):
    """A data set that grows; `faults` are locations and patterns."""

    def __init__(self, root):
        super().__init__(root)
        self.faults, self.pixels, self.captions = [], {}, {}
        self.names = []
        self.add("fine/test")
        self.write("test.txt", self.names.pop())
        self.add("fine/train")

    def add(self, name, image=GOOD, text="a bird\n", ending="png"):
        self.names.append(name)
        self.write(f"images/{name}.{ending}", image)
        self.write(f"text/{name}.txt", text)

    def fault(self, where: str, what: str):
        self.faults.append((printable(where), what))

    def list_names(self):
        self.write("train.txt", "\n".join(self.names))


def add_images(folder: Hostile, refused: bool) -> None:
    for number, made in enumerate(every_picture()):
        if bool(made.fault) != refused:
            continue
        name, ending = f"images/{number}", made.ending.rpartition(".")[2]
        folder.add(name, made.content, ending=ending)
        if refused:
            folder.fault(f"images/{name}.{ending}", made.fault)
        else:
            folder.pixels[name] = made.pixels, made.tolerance


def add_accepted(folder: Hostile) -> None:
    add_images(folder, refused=False)
    for kind, (text, captions) in texts.ACCEPTED.items():
        folder.add(f"t/{kind}", text=text)
        folder.captions[f"t/{kind}"] = captions
    for name in FINE_NAMES:
        folder.add(f"names/{name}")
        folder.pixels[f"names/{name}"] = noise(), 0


def add_refused(folder: Hostile) -> None:
    add_images(folder, refused=True)
    for kind, (text, fault) in texts.REFUSED.items():
        folder.add(f"bad/{kind}", text=text)
        folder.fault(f"text/bad/{kind}.txt", fault)
    for kind, (make, *faults) in SPECIAL.items():
        for part, ending, fault in zip(
            ("images", "text"), ("png", "txt"), faults, strict=True
        ):
            name = f"special/{kind} {part}"
            folder.add(name)
            (folder.root / part / f"{name}.{ending}").unlink()
            make(folder.root / part / f"{name}.{ending}")
            folder.fault(f"{part}/{name}.", fault)
    for name in ("esc\x1b]0;title\x07", "left\u202egnp", "line\x85end"):
        folder.add(f"bad/{name}", image=b"")
        folder.fault(f"images/bad/{name}.png", r"empty file \(zero bytes\)")
    for name in ("../escape", "/etc/passwd", "./fine/train", "fine//train"):
        folder.names.append(name)
        line = f"train.txt line {len(folder.names)}"
        folder.fault(line, f"a path below its folder; found {name}")
    folder.names.append("n" * 300)
    folder.fault("text/nnnnn", "File name too long")
    folder.fault("images/nnnnn", "must be there")


def test_every_hostile_file_is_a_fault_in_one_run(tmp_path, prepare):
    folder = Hostile(tmp_path / "raw")
    add_refused(folder)
    folder.list_names()
    faults = prepare.faults(folder.root)
    missing = [
        (where, what)
        for where, what in folder.faults
        if not any(f.startswith(where) and re.search(what, f) for f in faults)
    ]
    assert missing == []
    others = [
        fault
        for fault in faults
        if not any(fault.startswith(where) for where, _ in folder.faults)
    ]
    assert others == []
    assert all(fault.isprintable() for fault in faults)


def test_unusual_files_are_read_as_they_should_be(tmp_path, prepare):
    accepted = Hostile(tmp_path / "raw")
    add_accepted(accepted)
    accepted.list_names()
    builder, report = prepare(accepted.root)
    assert report.pictures["train"] == len(accepted.names)
    assert all(line.isprintable() for line in report.lines())
    records, rows = Records(builder, "train"), {}
    for i in range(len(records)):
        row = records.row(i)
        rows[row["name"].decode()] = i, row
    assert set(rows) == set(accepted.names)
    for name, (pixels, tolerance) in accepted.pixels.items():
        found = records.pixels(tf.constant(rows[name][0])).numpy()
        assert found.shape == pixels.shape, name
        assert np.abs(found.astype(int) - pixels).max() <= tolerance, name
    for name, captions in accepted.captions.items():
        found = [text.decode() for text in rows[name][1]["captions"]]
        assert found == captions, name
    assert not os.path.exists("pwned")
