"""Tests of attngan_tf.benchmarking.memory."""

import subprocess
import sys

import pytest

LARGE = 400_000_000
CHILD = "from attngan_tf.benchmarking.memory import peak_rss; print(peak_rss())"
PARENT = f"""
import subprocess, sys
held = bytearray(b"x") * {LARGE}
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""
HOLDER = f"""
from attngan_tf.benchmarking.memory import peak_rss
before = peak_rss()
held = bytearray(b"x") * {LARGE}
del held
print(peak_rss() - before)
"""


def printed(*command: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_the_peak_remains_after_memory_is_freed():
    assert printed(HOLDER) == pytest.approx(LARGE, rel=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="others have no VmHWM")
def test_the_parent_process_is_not_counted():
    assert printed(PARENT, CHILD) < LARGE / 4
