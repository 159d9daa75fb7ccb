"""The folder layout: hostile pictures, texts, names and kinds of files."""

import os
import pathlib
import socket
from collections.abc import Callable

from attngan_tf.errors import printable

from .cases import Case, write
from .drawn import noise, saved
from .pictures import every_picture
from .texts import LISTS, every_text

SET = "folder"
GOOD = saved(noise(), "PNG")
TEXT = b"a bird\n"
NOT_A_FILE = "It is a {}, not a file"
FINE_NAMES = (
    'it\'s "quoted" (1)',
    "-rf",
    "--help",
    "$(touch pwned); `id` | cat & #",
    "%s%n{0}",
    "vögel/küken",
    "vo\u0308gel/ku\u0308ken",
    "鳥/🐦",
    "left\u202egnp.exe",
    "zero\u200bwidth",
    "esc\x1b[31mred\x1b[0m",
    "bell\x07 and tab\tname",
    "star*[a-z]?",
    "Case",
    "case",
    ".hidden",
    "/".join("deep" for _ in range(40)),
    "n" * 251,
    "é" * 125,
)


class Folder:
    """A data set in the folder layout that grows."""

    def __init__(self, root: pathlib.Path, data_set: str = SET):
        self.root, self.data_set = root / data_set, data_set
        self.cases: list[Case] = []
        self.names = {"train": [], "test": []}
        self.add("fine/train")
        self.add("fine/test", split="test")

    def add(
        self,
        name: str,
        picture: bytes | None = GOOD,
        text: bytes | None = TEXT,
        ending: str = "png",
        split: str = "train",
    ) -> None:
        """Lists a name, and writes what is given of it."""
        if picture is not None:
            write(self.root / "images" / f"{name}.{ending}", picture)
        if text is not None:
            write(self.root / "text" / f"{name}.txt", text)
        self.names[split].append(name)

    def case(self, kind: str, place: str, fault: str | None, **more) -> None:
        """Says what is to become of a file."""
        place = printable(place)
        self.cases.append(Case(kind, self.data_set, place, fault, **more))

    def finish(self) -> list[Case]:
        """Writes the lists."""
        for split, names in self.names.items():
            write(self.root / f"{split}.txt", "\n".join(names).encode())
        return self.cases


def make(root: pathlib.Path) -> list[Case]:
    """Writes the data set of everything that may be in one."""
    folder = Folder(root)
    for number, made in enumerate(every_picture()):
        stem = f"pictures/{number:03d} {made.kind}"
        name, ending = os.path.splitext(f"{stem}.{made.ending}")
        folder.add(name, made.content, ending=ending[1:])
        folder.case(
            made.kind,
            f"images/{name}{ending}",
            made.fault,
            name=name,
            pixels=made.pixels,
            tolerance=made.tolerance,
        )
    for number, (kind, text, fault, captions) in enumerate(every_text()):
        name = f"texts/{number:03d} {kind}"
        folder.add(name, text=text)
        folder.case(
            *(kind, f"text/{name}.txt", fault), name=name, captions=captions
        )
    _special_files(folder, root / "outside")
    _names(folder)
    return folder.finish()


def make_lists(root: pathlib.Path) -> list[Case]:
    """Data sets whose list of names is hostile."""
    cases = []
    for number, (kind, content, fault) in enumerate(LISTS):
        folder = Folder(root, f"list{number}")
        folder.finish()
        write(folder.root / "train.txt", content)
        folder.case(kind, "train.txt", fault)
        cases += folder.cases
    return cases


def _link(target: pathlib.Path | str) -> Callable[[pathlib.Path], None]:
    return lambda path: path.symlink_to(target)


def _sparse(path: pathlib.Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)


def _listening(path: pathlib.Path) -> None:
    there = os.getcwd()
    os.chdir(path.parent)  # a socket's path may have 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(there)


def _kinds(outside: pathlib.Path) -> dict[str, tuple[Callable, str]]:
    """Kinds of files that are none, and their faults."""
    return {
        "named pipe": (os.mkfifo, NOT_A_FILE.format("named pipe")),
        "socket": (_listening, NOT_A_FILE.format("socket")),
        "device": (_link("/dev/zero"), NOT_A_FILE.format("device")),
        "link to nothing": (_link("nothing"), "No such file or directory"),
        "link to itself": (
            lambda path: path.symlink_to(path.name),
            "symbolic links",
        ),
        "link to a folder": (_link(outside / "birds"), "Is a directory"),
        "folder": (pathlib.Path.mkdir, "Is a directory"),
        "terabyte": (
            _sparse,
            "It has 1099511627776 bytes, more than 268435456",
        ),
    }


def _special_files(folder: Folder, outside: pathlib.Path) -> None:
    write(outside / "bird.png", GOOD)
    write(outside / "bird.txt", TEXT)
    (outside / "birds").mkdir()
    for kind, (make_file, fault) in _kinds(outside).items():
        for part, ending in (("images", "png"), ("text", "txt")):
            name = f"special/{kind} {part}"
            make_file(_listed_alone(folder, name, part, ending))
            # A picture that cannot be listed is not found.
            absent = part == "images" and (
                fault == "Is a directory" or "link to " in kind
            )
            place = f"{part}/{name}.{'*' if absent else ending}"
            folder.case(kind, place, "must be there" if absent else fault)
    for part, ending in (("images", "png"), ("text", "txt")):
        name = f"special/link to outside {part}"
        path = _listed_alone(folder, name, part, ending)
        path.symlink_to(outside / f"bird.{ending}")
        folder.case(
            *("link to outside", f"{part}/{name}", None),
            name=name,
            pixels=noise(),
            captions=["a bird"],
        )


def _listed_alone(
    folder: Folder, name: str, part: str, ending: str
) -> pathlib.Path:
    """Lists a name whose picture, or text, is to be made at the path."""
    folder.add(name, **{"picture" if part == "images" else "text": None})
    path = folder.root / part / f"{name}.{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _names(folder: Folder) -> None:
    for name in FINE_NAMES:
        name = f"names/{name}"
        folder.add(name)
        folder.case(
            *("name", f"images/{name}.", None),
            name=name,
            pixels=noise(),
            captions=["a bird"],
        )
    for name in ("esc\x1b]0;title\x07", "left\u202egnp", "line\x85end", "\x7f"):
        name = f"names/broken {name}"
        folder.add(name, b"", None)
        folder.case("name", f"images/{name}.png", r"empty file \(zero bytes\)")
        folder.case("name", f"text/{name}.txt", "No such file or directory")
    write(folder.root / "images/names/new\nline.png", GOOD)
    folder.names["train"].append("names/new\nline")
    folder.case("name", "images/names/new.*", "must be there")
    folder.names["train"].append("names/" + "n" * 300)
    folder.case("name", "text/names/nnnnnnn", "File name too long")
    write(folder.root / "escape.png", GOOD)
    for name in (
        *("../escape", "names/../../escape", "/etc/passwd", "./fine/train"),
        *("fine//train", "..", "names/.."),
    ):
        folder.names["train"].append(name)
        line = len(folder.names["train"]) + 1  # one name has two lines
        folder.case(
            "name",
            f"train.txt line {line}",
            f"a path below its folder; found {name}",
        )
