"""Files that are no weights, and files that would run code."""

import os
import pathlib
import pickle
import zipfile

from peers import python2

MALICIOUS_FORMS = ("pickle", "legacy", "zip")


def write_lfs_pointer(path: pathlib.Path) -> None:
    """What a clone without git-lfs leaves in place of a file."""
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{'4d7a2146' * 8}\n"
        "size 28391234\n"
    )


def write_html_page(path: pathlib.Path) -> None:
    """What a download site sends in place of a large file."""
    path.write_text(
        "<!DOCTYPE html><html><head><title>Virus scan warning</title></head>"
        "<body><p>This file is too large to be scanned for viruses. Would "
        "you still like to download it?</p></body></html>\n"
    )


class _Attack:
    """Makes a folder at `marker` when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def write_malicious(
    path: pathlib.Path, marker: pathlib.Path, form: str = "pickle"
) -> None:
    """A file that makes the folder `marker` if its pickle is executed.

    Args:
      path: of the file.
      marker: does not exist; a test checks that it still does not.
      form: "pickle": a plain one, such as captions.pickle; "legacy" and
        "zip": within the formats of .pth files.

    Raises:
      ValueError: an unknown form.
    """
    attack = pickle.dumps({"weight": _Attack(marker)}, protocol=2)
    if form == "pickle":
        path.write_bytes(attack)
    elif form == "legacy":
        header = (
            python2.MAGIC_NUMBER,
            python2.PROTOCOL_VERSION,
            python2.SYSTEM,
        )
        parts = [pickle.dumps(part, protocol=2) for part in header]
        keys = pickle.dumps([], protocol=2)
        path.write_bytes(b"".join([*parts, attack, keys]))
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", attack)
            archive.writestr("archive/byteorder", "little")
            archive.writestr("archive/version", "3\n")
    else:
        raise ValueError(
            f"`form` must be of {MALICIOUS_FORMS}. Received: {form!r}"
        )
