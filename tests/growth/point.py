"""One value of one axis, measured in a process of its own."""

import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

from attngan_tf.benchmarking.memory import peak_rss

LEAST, MOST = 3, 7  # calls that count
ENOUGH, TOO_LONG = 3.0, 10.0  # seconds of them


def median_seconds(call: Callable[[], object]) -> float:
    """Of several calls; of one or two where they take long.

    The first does not count, unless it is one of those.
    """
    seconds = [_seconds(call)]
    if seconds[0] < ENOUGH:
        seconds.clear()
    while (sum(seconds) < ENOUGH and len(seconds) < MOST) or (
        sum(seconds) < TOO_LONG and len(seconds) < LEAST
    ):
        seconds.append(_seconds(call))
    return statistics.median(seconds)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(name: str, value: int, folder: pathlib.Path) -> dict[str, float]:
    """What a point takes.

    Returns:
      start_s: from imports to the first result; call_s: a call after that;
      base_bytes: the memory after the imports; peak_bytes: at the end.
    """
    import tensorflow as tf

    from tests.growth.programs import AXES

    tf.zeros([]).numpy()  # TensorFlow's own start
    axis, base = AXES[name], peak_rss()
    start = time.perf_counter()
    call = axis.make(value, folder)
    call()
    first = time.perf_counter() - start
    return {
        "start_s": first,
        "call_s": first if axis.once else median_seconds(call),
        "base_bytes": base,
        "peak_bytes": peak_rss(),
    }


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing else goes there
    name, value, folder = sys.argv[1:]
    found = measure(name, int(value), pathlib.Path(folder))
    print(json.dumps(found), file=answers)
