"""What the machine gives: its devices and their arithmetic."""

import contextlib
import pathlib
import re
import time

import tensorflow as tf

SIZES = (512, 1024, 2048, 4096, 8192)  # sides of the matrices
CPU_INFO = pathlib.Path("/proc/cpuinfo")
LONG = 0.1  # seconds of a product: a larger one tells nothing new
SECONDS = 0.5  # that each size is tried for


def matrix_product_peak(dtype: str) -> float:
    """Operations a second of the fastest product of two square matrices.

    Args:
      dtype: of the matrices, such as "bfloat16".
    """
    rates = []
    for size in SIZES:
        seconds = fastest_product(size, dtype)
        rates.append(2 * size**3 / seconds)
        if seconds > LONG:
            break
    return max(rates)


def fastest_product(size: int, dtype: str) -> float:
    """Seconds of the fastest of several products of matrices of a size."""
    left, right = (
        tf.cast(tf.random.normal([size, size]), dtype) for _ in range(2)
    )
    seconds = []
    # The first one, which makes what the others use, takes longer.
    while len(seconds) < 3 or sum(seconds) < SECONDS:
        start = time.perf_counter()
        float(tf.matmul(left, right)[0, 0])  # waits for it
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def devices(strategy: tf.distribute.Strategy) -> int:
    """How many devices work: a CPU split into replicas is one."""
    here = len(strategy.extended.worker_devices)
    if tf.config.list_physical_devices("GPU"):
        return strategy.num_replicas_in_sync
    return strategy.num_replicas_in_sync // here


def lacks_bfloat16() -> bool:
    """Whether the processor says that it has no instructions for bfloat16.

    Only Linux lists them; elsewhere the answer is no.
    """
    found = ""
    with contextlib.suppress(OSError):
        found = CPU_INFO.read_text()
    listed = re.search(r"^(flags|Features)\s*:(.*)$", found, re.MULTILINE)
    return listed is not None and "bf16" not in listed[2]
