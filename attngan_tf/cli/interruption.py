"""Ctrl-C and SIGTERM: training saves its state before the process ends."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECOND_SIGNAL = 1.0  # seconds after which another signal ends the process


class InterruptedTraining(BaseException):
    """A signal interrupted the training; the text describes what was saved.

    Like KeyboardInterrupt it is not a subclass of Exception, so that `except
    Exception` does not catch it.
    """


class Interruption:
    """Raises `InterruptedTraining` on a signal, or after a `deferred` block.

    A second signal ends the process at once if it comes more than a second
    later. Before, it is ignored, since a shell and a parent process may both
    forward the same Ctrl-C. Outside of the main thread, Python receives no
    signals.
    """

    def __init__(self):
        self.asked = False  # whether a signal was received
        self._since = 0.0  # time of the first signal
        self._deferring = False
        self._raised = False  # and not caught yet

    def __enter__(self):
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        del frame
        if self.asked:
            if time.monotonic() - self._since > SECOND_SIGNAL:
                sys.exit(128 + number)
            return
        self.asked, self._since = True, time.monotonic()
        if not self._deferring:
            self._raised = True
            raise InterruptedTraining

    @contextlib.contextmanager
    def errors_converted(self) -> Iterator[None]:
        """Raises `InterruptedTraining` for an error that the signal caused.

        C code that calls Python may replace the exception by its own, as
        dm-tree does when it checks the type of an object.
        """
        try:
            yield
        except InterruptedTraining:
            self._raised = False
            raise
        except Exception as error:
            if not self._raised:
                raise
            self._raised = False
            raise InterruptedTraining from error

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Defers the exception to the end of a block that must be completed.

        Of nested blocks, the outermost one raises it.
        """
        asked, outer = self.asked, self._deferring
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = outer
        if self.asked and not asked and not outer:
            raise InterruptedTraining
