"""Errors that a user can cause, and text that is safe to print."""


class UserError(Exception):
    """A mistake a user can mend; its text is the one line that is printed."""


def printable(text: str) -> str:
    """The text in one line; what cannot be printed is escaped as in Python.

    That is: line ends, the escape sequences of terminals, marks that turn the
    direction of writing, and what cannot be UTF-8, as of old file names.
    """
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
