"""Console output of the server."""

import contextlib


def report(text: str) -> None:
    """Prints a line, unless the output is closed."""
    with contextlib.suppress(OSError):
        print(text, flush=True)
