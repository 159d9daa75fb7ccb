"""Processes that end with the test that started them."""

import subprocess
from collections.abc import Sequence

_started: list[subprocess.Popen] = []


def start(command: Sequence[str], **options) -> subprocess.Popen:
    """Starts a process, whose output is text."""
    process = subprocess.Popen(command, text=True, **options)
    _started.append(process)
    return process


def end_all() -> None:
    """Kills those that still run, also stopped ones."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.wait()
