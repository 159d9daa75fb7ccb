"""Ctrl-C and SIGTERM: what is begun is ended and saved, then the process."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 1.0  # seconds between two signals of which the second insists


class InterruptedTraining(BaseException):
    """Somebody asked the process to end; its text says what was saved.

    Like KeyboardInterrupt no Exception, so that nothing on the way takes it
    for a failure.
    """


class Interruption:
    """Raises `InterruptedTraining` on a signal, but not in what is held.

    Asked again after a second, the process ends at once: within it, a group
    of processes and its head may both have passed on what was asked once.
    Python gives signals to its main thread alone: entered in another, it
    notes none.
    """

    def __init__(self):
        self._asked = False
        self._since = 0.0  # when it was asked first
        self._holding = False
        self._under_way = False  # raised, and not yet seen again

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
        if self._asked:
            if time.monotonic() - self._since > AGAIN:
                sys.exit(128 + number)
            return
        self._asked, self._since = True, time.monotonic()
        if not self._holding:
            self._under_way = True
            raise InterruptedTraining

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._asked

    @contextlib.contextmanager
    def arriving(self) -> Iterator[None]:
        """What fails where a signal was raised raises `InterruptedTraining`.

        C code that calls Python may drop any exception, and then fail by one
        of its own: dm-tree does where it asks what kind an object is of.
        """
        try:
            yield
        except InterruptedTraining:
            self._under_way = False
            raise
        except Exception as error:
            if not self._under_way:
                raise
            self._under_way = False
            raise InterruptedTraining from error

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What changes a state, and must be whole: raises when it is done.

        Of blocks in one another, the outermost raises.
        """
        asked, outer = self._asked, self._holding
        self._holding = True
        try:
            yield
        finally:
            self._holding = outer
        if self._asked and not asked and not outer:
            raise InterruptedTraining
