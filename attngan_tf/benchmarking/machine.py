"""The machine: its devices and their peak speed of matrix products."""

import pathlib
import re
import time

import tensorflow as tf

SIZES = (512, 1024, 2048, 4096, 8192)  # sides of the matrices
CPU_INFO = pathlib.Path("/proc/cpuinfo")
LONG = 0.1  # seconds; after a slower product, larger ones are skipped
SECONDS = 0.5  # minimum total time of the products of one size


def matrix_product_peak(dtype: str) -> float:
    """Operations per second of the fastest product of two square matrices.

    Args:
      dtype: type of the matrices, such as "bfloat16".
    """
    rates = []
    for size in SIZES:
        seconds = fastest_product(size, dtype)
        rates.append(2 * size**3 / seconds)
        if seconds > LONG:
            break
    return max(rates)


def fastest_product(size: int, dtype: str) -> float:
    """Seconds of the fastest of several products of [size, size] matrices."""
    left, right = (
        tf.cast(tf.random.normal([size, size]), dtype) for _ in range(2)
    )
    seconds = []
    # The first product takes longer, since it allocates memory.
    while len(seconds) < 3 or sum(seconds) < SECONDS:
        start = time.perf_counter()
        float(tf.matmul(left, right)[0, 0])  # waits for the result
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def devices(strategy: tf.distribute.Strategy) -> int:
    """The number of devices; a CPU that is split into replicas counts once."""
    here = len(strategy.extended.worker_devices)
    if tf.config.list_physical_devices("GPU"):
        return strategy.num_replicas_in_sync
    return strategy.num_replicas_in_sync // here


def lacks_bfloat16() -> bool:
    """Whether the processor is known to lack instructions for bfloat16."""
    found = CPU_INFO.read_text()
    listed = re.search(r"^(flags|Features)\s*:(.*)$", found, re.MULTILINE)
    return listed is not None and "bf16" not in listed[2]
