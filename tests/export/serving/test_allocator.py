"""Arenas of glibc, counted by glibc itself."""

import os
import subprocess
import sys

import pytest

from export.serving import allocator

# Threads that hold memory at the same time take an arena each.
COUNT = """
import ctypes, sys, threading
from export.serving import allocator
if sys.argv[1] == "shared":
    print(allocator.share_arenas())
c = ctypes.CDLL(None)
c.malloc.restype = c.open_memstream.restype = ctypes.c_void_p
c.open_memstream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
c.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
c.fclose.argtypes = [ctypes.c_void_p]
together = threading.Barrier(7)
def work():
    c.malloc(100_000)
    together.wait()
    together.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
together.wait()
text, size = ctypes.c_char_p(), ctypes.c_size_t()
stream = c.open_memstream(ctypes.byref(text), ctypes.byref(size))
c.malloc_info(0, stream)
c.fclose(stream)
together.wait()
print(text.value.decode().count("<heap nr="))
"""


def counted(which: str, **variables: str) -> list[str]:
    """What a process of six threads tells."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, which],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if "undefined symbol" in done.stderr:
        pytest.skip("needs glibc")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_threads_share_arenas(monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert int(counted("apart")[0]) > allocator.ARENAS
    assert counted("shared") == ["True", str(allocator.ARENAS)]


def test_what_the_environment_says_stays_in_force():
    assert counted("shared", MALLOC_ARENA_MAX="3") == ["False", "3"]
