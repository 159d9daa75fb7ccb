"""How a command starts: TensorFlow tells nothing, and signals end it at once.

A mistake is then one line, and so is Ctrl-C in the seconds that imports take.
TF_CPP_MIN_LOG_LEVEL does not reach what TensorFlow logs by Abseil as it is
loaded and looks for GPUs (tensorflow/tensorflow#100442, as of 2.21).
"""

import contextlib
import importlib.abc
import importlib.util
import itertools
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Nothing but what ends the process. Its errors are raised as well; what else
# it logs as one is that oneDNN lacks a type without AVX-512.
FATAL = "3"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# oneDNN is on, the processor's instructions, no CUDA drivers.
STARTING = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)|"
    rb"[IE]\d{4} \S+ +\d+ (port|cudart_stub|cuda_platform)\.cc:\d+\]"
)
# Commands by `command.run`, which calls `started`, as their names begin.
COMMANDS = ("attngan_tf.", "export.saved_model", "export.serve")
TRAINING = "attngan_tf.train"
NOTHING_LOST = "interrupted; nothing is lost: run the same command to go on"
_handlers = {}  # of signals, as they were before the start


def use_onednn() -> None:
    """Has TensorFlow use oneDNN on every x86 processor, if it starts later.

    It does so by itself only where there is AVX-512. With AVX2 alone, a GAN
    step takes 2.2 to 2.5 times as long without it (BUILD_NOTES.md). The user's
    own setting of the variable stays.
    """
    os.environ.setdefault(ONEDNN, "1")


def start_command() -> None:
    """Begins a command: its signals, and TensorFlow without a word.

    Does nothing in other programs. A command is what `python -m` runs; while
    it is looked for, and this package is imported on the way, sys.argv says
    so.
    """
    if sys.argv[:1] != ["-m"]:
        return
    if _module().startswith(COMMANDS):
        _take_signals()
    if LEVEL not in os.environ:
        os.environ[LEVEL] = FATAL
        sys.meta_path.insert(0, _Finder())


def started() -> None:
    """Signals do again what they did before the command started."""
    while _handlers:
        signal.signal(*_handlers.popitem())


def _module() -> str:
    """What `python -m` runs; "" if it runs nothing by name."""
    for argument, after in itertools.pairwise([*sys.orig_argv[1:], ""]):
        if found := re.fullmatch("-[^-cmWX]*m(.*)", argument):
            return found[1] or after
    return ""


def _take_signals() -> None:
    """Ctrl-C and SIGTERM end the process in one line.

    Not by an exception, which may be raised anywhere in an import, and which
    libraries take for a failure of their own.
    """
    stderr = os.dup(2)  # which is held back later
    trains = _module() == TRAINING

    def end(number, frame):
        del frame
        said = NOTHING_LOST if trains else "interrupted"
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
    """Holds stderr back while TensorFlow is imported and looks for GPUs."""

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module):
            with _held_back():
                load(module)
                module.config.list_physical_devices()

        spec.loader.exec_module = exec_module
        return spec
