"""What the server prints."""

import contextlib


def report(text: str) -> None:
    """Prints a line; the reader of the output may be gone."""
    with contextlib.suppress(OSError):
        print(text, flush=True)
