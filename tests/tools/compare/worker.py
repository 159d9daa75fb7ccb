"""One implementation of one program, in a process of its own."""

import importlib
import time

from attngan_tf.benchmarking.memory import peak_rss


def run(pipe, side, program, precision, batch_size, folder) -> None:
    """A process: sends seconds and peak memory of each call asked for."""
    make = importlib.import_module(f"tests.tools.compare.{side}").PROGRAMS
    call = make[program](precision, batch_size, folder)
    for _ in range(2):
        call()
    pipe.send("ready")
    while pipe.recv():
        start = time.perf_counter()
        call()
        pipe.send((time.perf_counter() - start, peak_rss()))
