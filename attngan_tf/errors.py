"""Errors that a user can cause, and text that is safe to print."""


class UserError(Exception):
    """An error that a user can fix; its text is the line that is printed."""


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
