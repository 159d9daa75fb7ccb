"""How a command starts: TensorFlow tells nothing, and may be interrupted.

A mistake is then one line, and so is Ctrl-C in the seconds that TensorFlow
takes to be imported. TF_CPP_MIN_LOG_LEVEL does not reach what TensorFlow logs
by Abseil as it is loaded and looks for GPUs (tensorflow/tensorflow#100442, as
of 2.21).
"""

import contextlib
import importlib.abc
import importlib.util
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
ERRORS = "2"  # and no warnings
# oneDNN is on, the processor's instructions, no CUDA drivers.
STARTING = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)|"
    rb"[IE]\d{4} \S+ +\d+ (port|cudart_stub|cuda_platform)\.cc:\d+\]"
)
BEFORE_A_STEP = (
    "interrupted before a step; nothing is lost: run the same command to go on"
)
_handlers = {}  # of signals, as they were before the start


def start_command() -> None:
    """Starts a command so; TensorFlow's own words stay if a level is set.

    A command is what `python -m` runs; while it is looked for, and this
    package is imported on the way, sys.argv says so.
    """
    if sys.argv[:1] == ["-m"]:
        quiet = LEVEL not in os.environ
        os.environ.setdefault(LEVEL, ERRORS)
        sys.meta_path.insert(0, _Finder(quiet))


def started() -> None:
    """Signals do again what they did before the command started."""
    while _handlers:
        signal.signal(*_handlers.popitem())


def _end_if_asked() -> None:
    """Ctrl-C and SIGTERM end the process in one line.

    Not by an exception, which may be raised anywhere in an import, and which
    libraries take for a failure of their own.
    """
    stderr = os.dup(2)  # which is held back

    def end(number, frame):
        del frame
        trains = "attngan_tf.train" in sys.orig_argv
        said = BEFORE_A_STEP if trains else "interrupted"
        os.write(stderr, f"{said}\n".encode())
        os._exit(0 if trains else 128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            _handlers[number] = signal.signal(number, end)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Passes on what is written to stderr, in the end, but for `STARTING`.

    Libraries write to the file, and not through Python.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not STARTING.match(line):
                    os.write(2, line)


class _Finder(importlib.abc.MetaPathFinder):
    """Acts when TensorFlow is about to be imported.

    Args:
      quiet: whether stderr is held back while it is, and looks for GPUs.
    """

    def __init__(self, quiet: bool):
        self.quiet = quiet

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        _end_if_asked()
        spec = importlib.util.find_spec(name)
        if spec is None or not self.quiet:
            return spec
        load = spec.loader.exec_module

        def exec_module(module):
            with _held_back():
                load(module)
                module.config.list_physical_devices()

        spec.loader.exec_module = exec_module
        return spec
