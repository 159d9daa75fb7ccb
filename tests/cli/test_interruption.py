"""Signals, and blocks that defer them."""

import contextlib
import signal
import time

import pytest

from attngan_tf.cli import interruption as interruption_module
from attngan_tf.cli.interruption import InterruptedTraining, Interruption


def send(number=signal.SIGTERM):
    signal.raise_signal(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts(number):
    before = signal.getsignal(number)
    with Interruption(), pytest.raises(InterruptedTraining):
        send(number)
    assert signal.getsignal(number) is before


def test_a_deferred_block_ends_first():
    done = []

    def step(interruption):
        with interruption.deferred():
            send()
            done.append("block")

    with Interruption() as interruption:
        with pytest.raises(InterruptedTraining):
            step(interruption)
        with interruption.deferred():  # to save after it
            done.append("saved")
    assert done == ["block", "saved"]


def test_an_error_in_a_deferred_block_is_raised():
    def fail(interruption):
        with interruption.deferred():
            send()
            raise ValueError

    with Interruption() as interruption, pytest.raises(ValueError):  # noqa: PT011
        fail(interruption)


def lose():
    """As C code does that drops an exception and raises another."""
    with contextlib.suppress(InterruptedTraining):
        send()
    raise AttributeError("no keys")


def test_an_error_that_a_signal_causes_is_an_interruption():
    with (
        Interruption() as interruption,
        pytest.raises(InterruptedTraining),
        interruption.errors_converted(),
    ):
        lose()


def test_an_error_after_a_caught_signal_is_raised():
    def fail(interruption):
        with interruption.errors_converted():
            with (
                pytest.raises(InterruptedTraining),
                interruption.errors_converted(),
            ):
                send()
            raise ValueError

    with Interruption() as interruption, pytest.raises(ValueError):  # noqa: PT011
        fail(interruption)


def test_two_signals_at_once_count_as_one():
    done = []

    def step(interruption):
        with interruption.deferred():
            send()
            send(signal.SIGINT)
            done.append("block")

    with Interruption() as interruption, pytest.raises(InterruptedTraining):
        step(interruption)
    assert done == ["block"]


def test_a_second_signal_ends_the_process(monkeypatch):
    monkeypatch.setattr(interruption_module, "SECOND_SIGNAL", 0.05)

    def twice(interruption):
        with interruption.deferred():
            send()
            time.sleep(0.1)
            send()

    with Interruption() as interruption, pytest.raises(SystemExit) as ended:
        twice(interruption)
    assert ended.value.code == 128 + signal.SIGTERM
