"""Errors that a user can cause, and text that is safe to print."""

import pathlib
import shlex


class UserError(Exception):
    """An error that a user can fix; its text is the line that is printed."""


def install_command(extra: str) -> str:
    """The command that adds the packages of an extra to this installation.

    An installed package is named; a clone is named by its folder.
    """
    clone = pathlib.Path(__file__).resolve().parents[1]
    if not (clone / "setup.py").exists():
        return f"pip install 'attngan_tf[{extra}]'"
    return f"pip install -e {shlex.quote(f'{clone}[{extra}]')}"


def printable(text: str) -> str:
    """The text in one line, with unprintable characters escaped as in Python.

    Such characters are line ends, terminal escape sequences, marks that change
    the direction of writing, and bytes of file names that are not UTF-8.
    """
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
