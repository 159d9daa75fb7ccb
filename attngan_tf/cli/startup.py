"""The start of a command: TensorFlow logs nothing, and Ctrl-C ends it at once.

A user error then prints one line, and so does Ctrl-C during the imports.
TF_CPP_MIN_LOG_LEVEL does not affect what TensorFlow logs with Abseil while it
is loaded and looks for GPUs (tensorflow/tensorflow#100442, as of 2.21).
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
# Only fatal messages are logged. TensorFlow also raises the other errors that
# it would log, except for one: that oneDNN does not support a data type on
# processors without AVX-512.
FATAL = "3"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# Lines about oneDNN, the processor's instructions, and missing CUDA drivers.
HIDDEN = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)|"
    rb"[IE]\d{4} \S+ +\d+ (port|cudart_stub|cuda_platform)\.cc:\d+\]"
)
# Prefixes of the commands that use `command.run`, which calls `started`.
COMMANDS = ("attngan_tf.", "export.saved_model", "export.serve")
NOTHING_LOST = "interrupted; nothing is lost: run the same command to continue"
_handlers = {}  # the signals' handlers before the start


def use_onednn() -> None:
    """Makes TensorFlow use oneDNN on every x86 processor.

    By default it does so only with AVX-512. With AVX2 alone, a GAN step takes
    2.2 to 2.5 times as long without oneDNN (docs/performance.md). A value that
    the user has set is retained.
    """
    os.environ.setdefault(ONEDNN, "1")


def start_command() -> None:
    """Sets up signals and TensorFlow's logging at the start of a command.

    Does nothing in other programs, which control their own signals and logs. A
    command is run by `python -m`: while Python looks for the module, and
    imports this package to find it, sys.argv is ["-m", ...].
    """
    if sys.argv[:1] != ["-m"]:
        return
    if _command():
        _handle_signals()
    if LEVEL not in os.environ:
        os.environ[LEVEL] = FATAL
        sys.meta_path.insert(0, _Finder())


def started() -> None:
    """Restores the signals' handlers once `command.run` sets its own."""
    while _handlers:
        signal.signal(*_handlers.popitem())


def _command() -> str:
    """The module of a command that Python was started with; "" if none."""
    return next((x for x in sys.orig_argv if x.startswith(COMMANDS)), "")


def _handle_signals() -> None:
    """Makes Ctrl-C and SIGTERM end the process with one line.

    An exception would be raised during an import, where libraries replace it by
    their own errors.
    """
    stderr = os.dup(2)  # it is redirected later
    trains = _command() == "attngan_tf.train"

    def end(number, frame):
        del frame
        line = NOTHING_LOST if trains else "interrupted"
        os.write(stderr, f"{line}\n".encode())
        os._exit(0 if trains else 128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            _handlers[number] = signal.signal(number, end)


@contextlib.contextmanager
def _stderr_filtered() -> Iterator[None]:
    """Removes the lines `HIDDEN` from what is written to stderr in the block.

    It redirects the file descriptor, since libraries in C write to that.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not HIDDEN.match(line):
                    os.write(2, line)


class _Finder(importlib.abc.MetaPathFinder):
    """Filters stderr while TensorFlow is imported and looks for GPUs."""

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module):
            with _stderr_filtered():
                load(module)
                module.config.list_physical_devices()

        spec.loader.exec_module = exec_module
        return spec
