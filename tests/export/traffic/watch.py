"""What a process holds, as Linux tells it."""

import contextlib
import os
import pathlib
import threading
from typing import NamedTuple


class Held(NamedTuple):
    """Resident memory in MB, open files, and threads."""

    memory: float
    files: int
    threads: int


def look(pid: int) -> Held:
    """What the process holds now."""
    folder = pathlib.Path(f"/proc/{pid}")
    lines = (folder / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return Held(
        int(status["VmRSS"].split()[0]) / 1024,
        len(os.listdir(folder / "fd")),
        int(status["Threads"]),
    )


class Watch(threading.Thread):
    """Looks every half second until it is stopped."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.seen: list[Held] = []

    def run(self) -> None:
        while not self._ended.wait(0.5):
            with contextlib.suppress(OSError):
                self.seen.append(look(self._pid))

    def stop(self) -> None:
        self._ended.set()
        self.join()
