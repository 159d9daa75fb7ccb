"""Signals and what is held."""

import contextlib
import os
import signal
import threading
import time

import pytest

from attngan_tf.cli import interruption as interruption_module
from attngan_tf.cli.interruption import InterruptedTraining, Interruption


def ask(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts(number):
    before = signal.getsignal(number)
    with Interruption(), pytest.raises(InterruptedTraining):
        ask(number)
    assert signal.getsignal(number) is before


def test_what_is_held_is_done_first():
    done = []

    def step(interruption):
        with interruption.held():
            ask()
            done.append("held")

    with Interruption() as interruption:
        with pytest.raises(InterruptedTraining):
            step(interruption)
        with interruption.held():  # to save after it
            done.append("saved")
    assert done == ["held", "saved"]


def test_the_outermost_of_what_is_held_raises():
    done = []

    def loop(interruption):
        with interruption.held():
            with interruption.held():
                ask()
            done.append("held")
            assert interruption.asked

    with Interruption() as interruption, pytest.raises(InterruptedTraining):
        loop(interruption)
    assert done == ["held"]


def test_an_error_in_what_is_held_is_told():
    def fail(interruption):
        with interruption.held():
            ask()
            raise ValueError

    with Interruption() as interruption, pytest.raises(ValueError):  # noqa: PT011
        fail(interruption)


def lose():
    """As C code does that takes an exception for an answer."""
    with contextlib.suppress(InterruptedTraining):
        ask()
    raise AttributeError("no keys")


def test_what_fails_because_of_a_signal_is_interrupted():
    with (
        Interruption() as interruption,
        pytest.raises(InterruptedTraining),
        interruption.arriving(),
    ):
        lose()


def test_what_fails_after_a_signal_has_arrived_is_told():
    def fail(interruption):
        with interruption.arriving():
            with pytest.raises(InterruptedTraining), interruption.arriving():
                ask()
            raise ValueError

    with Interruption() as interruption, pytest.raises(ValueError):  # noqa: PT011
        fail(interruption)


def test_a_signal_that_is_passed_on_as_well_is_one():
    done = []

    def step(interruption):
        with interruption.held():
            ask()
            ask(signal.SIGINT)
            done.append("held")

    with Interruption() as interruption, pytest.raises(InterruptedTraining):
        step(interruption)
    assert done == ["held"]


def test_who_insists_ends_it_at_once(monkeypatch):
    monkeypatch.setattr(interruption_module, "AGAIN", 0.05)

    def insist(interruption):
        with interruption.held():
            ask()
            time.sleep(0.1)
            ask()

    with Interruption() as interruption, pytest.raises(SystemExit) as ended:
        insist(interruption)
    assert ended.value.code == 128 + signal.SIGTERM


def test_other_threads_can_train():
    found = []

    def train():
        with Interruption() as interruption, interruption.held():
            found.append("trained")

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == ["trained"]
