"""python -m tests.data.hostile.many PREPARED: `prepare` of many data sets.

Reads lines `dataset <tab> folder` from stdin. TensorFlow takes seconds to
import: it is imported once, and each data set is prepared by the command in a
fork of its own, two at a time. Writes a line of JSON for each: folder, exit
code (None: it took too long), what it printed, and seconds.
"""

import json
import os
import signal
import sys
import tempfile
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # quiet as a command that is run

from attngan_tf import prepare
from attngan_tf.cli import command

AT_ONCE = 2
SECONDS = 30


def start(prepared: str, dataset: str, folder: str) -> tuple:
    """Begins to prepare; gives the process and what it prints to."""
    printed = [tempfile.TemporaryFile() for _ in (1, 2)]  # noqa: SIM115
    process = os.fork()
    if process:
        return process, printed, folder, time.monotonic()
    code = 1
    try:
        for number, file in enumerate(printed, 1):
            os.dup2(file.fileno(), number)
        sys.argv = [
            *("prepare", f"--dataset={dataset}", f"--data_dir={folder}"),
            f"--prepared_dir={prepared}",
        ]
        command.run(prepare.define_flags, prepare.main)
    except SystemExit as error:
        code = error.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(process: int, printed: list, folder: str, since: float) -> dict:
    """Waits for its end, and ends it where it takes too long."""
    code = None
    while time.monotonic() < since + SECONDS:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    else:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    texts = []
    for file in printed:
        file.seek(0)
        texts.append(file.read().decode("utf-8", "surrogateescape"))
    seconds = time.monotonic() - since
    return {
        **{"folder": folder, "code": code, "seconds": seconds},
        **{"stdout": texts[0], "stderr": texts[1]},
    }


def main() -> None:
    """Runs what stdin lists."""
    running = []
    for line in sys.stdin.read().splitlines():
        running.append(start(sys.argv[1], *line.split("\t")))
        if len(running) == AT_ONCE:
            print(json.dumps(wait(*running.pop(0))), flush=True)
    for one in running:
        print(json.dumps(wait(*one)), flush=True)


if __name__ == "__main__":
    main()
