"""Tests of attngan_tf.benchmarking.memory."""

import subprocess
import sys

LARGE = 400_000_000
CHILD = "from attngan_tf.benchmarking.memory import peak_rss; print(peak_rss())"
PARENT = f"""
import subprocess, sys
held = bytearray(b"x") * {LARGE}
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


def test_the_parent_process_is_not_counted():
    done = subprocess.run(
        [sys.executable, "-c", PARENT, CHILD],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < LARGE / 4
