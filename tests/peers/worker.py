"""One side of one program in a process of its own, told when to run."""

import importlib
import json
import pathlib
import sys
import time

from attngan_tf.benchmarking.memory import peak_rss

MODULES = {"peer": "peers.peer_programs", "ours": "peers.our_programs"}


def main(arguments: list[str]) -> None:
    """Builds a program, then runs it as often as each line asks for.

    Writes a line of JSON when it is ready, and one after each line read.

    Args:
      arguments: side (of MODULES), program, precision, batch size, folder.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing else goes there
    side, program, precision, batch_size, folder = arguments
    start = time.perf_counter()
    programs = importlib.import_module(MODULES[side]).PROGRAMS
    call = programs[program](precision, int(batch_size), pathlib.Path(folder))
    built = time.perf_counter()
    call()
    times = {"build_s": built - start, "first_s": time.perf_counter() - built}
    call()
    print(json.dumps(times), file=answers, flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        found = {"seconds": seconds, "peak_bytes": peak_rss()}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
