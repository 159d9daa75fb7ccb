"""TensorFlow starts without telling of it, so that a mistake is one line.

TF_CPP_MIN_LOG_LEVEL does not reach what TensorFlow logs by Abseil as it is
loaded and looks for GPUs (tensorflow/tensorflow#100442, as of 2.21).
"""

import contextlib
import importlib.abc
import importlib.util
import os
import re
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


def quiet_command() -> None:
    """Hides TensorFlow's start in a command, unless the user set a level.

    A command is what `python -m` runs; while it is looked for, and this
    package is imported on the way, sys.argv says so.
    """
    if sys.argv[:1] == ["-m"] and LEVEL not in os.environ:
        os.environ[LEVEL] = ERRORS
        sys.meta_path.insert(0, _Finder())


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
