"""One value of one axis, measured in a process of its own."""

import pathlib
import statistics
import time
from collections.abc import Callable


def point(name: str, value: int, folder: pathlib.Path) -> dict[str, float]:
    """Measures a point, in the process that this is called in.

    Returns:
      start_s: from imports to the first result; call_s: a later call;
      base_bytes: the memory after the imports; peak_bytes: at the end.
    """
    import tensorflow as tf

    from attngan_tf.benchmarking.memory import peak_rss
    from tests.tools.growth.programs import AXES

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


def median_seconds(call: Callable[[], object]) -> float:
    """The median of 3 to 7 calls, of fewer if they take more than 10 s.

    The first is not counted, unless it takes more than 3 s.
    """
    seconds = [_seconds(call)]
    if seconds[0] < 3.0:
        seconds.clear()
    while (sum(seconds) < 3.0 and len(seconds) < 7) or (
        sum(seconds) < 10.0 and len(seconds) < 3
    ):
        seconds.append(_seconds(call))
    return statistics.median(seconds)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
