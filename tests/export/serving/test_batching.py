"""Merging concurrent requests."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from export.serving.batching import Batcher
from export.serving.errors import ServingError
from export.serving.servable import Signature
from export.serving.settings import BatchingSettings

SIGNATURE = Signature("s", {}, {})
OTHER = Signature("other", {}, {})


class Doubler:
    """Runs like a servable: y = 2 x; notes the batches; waits for `gate`."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, signature, feeds, outputs, deadline):
        self.batches.append(feeds["x"].copy())
        assert self.gate.wait(20)
        if (feeds["x"] < 0).any():
            raise ServingError(tf.errors.INVALID_ARGUMENT, "negative")
        return {"y": 2 * feeds["x"]}

    def acquire(self):
        pass

    def release(self):
        pass

    def sizes(self):
        return [len(batch) for batch in self.batches]


@pytest.fixture
def doubler():
    return Doubler()


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def start(doubler, pool):
    """Makes a batcher; returns how to ask it in a thread.

    `ask.waiting(n)` returns once n batches wait for a slot.
    """

    def start(**fields):
        fields = {"max_batch_size": 4, "num_batch_threads": 1} | fields
        batcher = Batcher(BatchingSettings(**fields))

        def waiting(count):
            wait_until(lambda: sum(batcher._waiting.values()) == count)

        def ask(*rows, signature=SIGNATURE, deadline=None):
            feeds = {"x": np.array(rows, np.float32)}
            run = batcher.run
            return pool.submit(
                lambda: run(doubler, signature, feeds, ("y",), deadline)["y"]
            )

        ask.waiting = waiting
        return ask

    return start


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def code_of(answer):
    with pytest.raises(ServingError) as raised:
        answer.result(10)
    return raised.value.code


@pytest.fixture
def busy(doubler):
    """Keeps the batcher's only slot busy; returns the answer to wait for."""

    def busy(ask):
        doubler.gate.clear()
        answer = ask(1)
        wait_until(lambda: len(doubler.batches) == 1)
        return answer

    yield busy
    doubler.gate.set()


def test_full_batch_does_not_wait(start, doubler):
    ask = start(batch_timeout_micros=60_000_000)
    answers = [ask(k) for k in range(4)]
    assert sorted(a.result(10)[0] for a in answers) == [0, 2, 4, 6]
    assert doubler.sizes() == [4]


def test_every_request_gets_its_own_rows(start, doubler):
    ask = start(num_batch_threads=2, max_enqueued_batches=60)
    questions = [[100 * k + j for j in range(1 + k % 4)] for k in range(60)]
    answers = [ask(*rows) for rows in questions]
    for rows, answer in zip(questions, answers, strict=True):
        assert answer.result(10).tolist() == [2 * row for row in rows]
    assert max(doubler.sizes()) <= 4
    assert len(doubler.batches) < len(questions)


def test_single_request_waits_for_the_time_out(start):
    ask = start(batch_timeout_micros=100_000)
    begin = time.monotonic()
    assert ask(3).result(10).tolist() == [6]
    assert time.monotonic() - begin >= 0.1


def test_request_that_does_not_fit_is_not_split(start, doubler, busy):
    ask = start()
    answers = [busy(ask), ask(1, 2, 3), ask(4, 5, 6)]
    ask.waiting(2)
    doubler.gate.set()
    for answer in answers:
        answer.result(10)
    assert doubler.sizes() == [1, 3, 3]


def test_padding_repeats_a_row(start, doubler):
    ask = start(allowed_batch_sizes=(2, 4))
    assert ask(5, 6, 7).result(10).tolist() == [10, 12, 14]
    assert ask(5).result(10).tolist() == [10]
    first, second = (batch.tolist() for batch in doubler.batches)
    assert (first[:3], second) == ([5, 6, 7], [5, 5])
    assert first[3] in (5, 6, 7)


def test_full_queue_refuses(start, doubler, busy):
    ask = start(max_enqueued_batches=2)
    answers = [busy(ask), ask(1, 2, 3, 4), ask(1, 2, 3, 4)]
    ask.waiting(2)
    assert code_of(ask(1, 2, 3, 4)) == tf.errors.UNAVAILABLE
    doubler.gate.set()
    for answer in answers:
        answer.result(10)


def test_invalid_row_fails_alone(start, doubler):
    ask = start(batch_timeout_micros=60_000_000)
    good, bad = [ask(k) for k in (1, 2, 3)], ask(-1)
    assert [a.result(10).tolist() for a in good] == [[2], [4], [6]]
    assert code_of(bad) == tf.errors.INVALID_ARGUMENT
    assert sorted(doubler.sizes()) == [1, 1, 1, 1, 4]


def test_rows_of_different_shapes_are_run_alone(start, doubler):
    ask = start(max_batch_size=2, batch_timeout_micros=60_000_000)
    wide, narrow = ask([1, 2]), ask([3])
    assert wide.result(10).tolist() == [[2, 4]]
    assert narrow.result(10).tolist() == [[6]]


def test_time_out_ends_the_wait_and_the_work(start, doubler, busy):
    ask = start()
    first = busy(ask)
    late = ask(2, deadline=time.monotonic() + 0.05)
    assert code_of(late) == tf.errors.DEADLINE_EXCEEDED
    doubler.gate.set()
    first.result(10)
    ask(3).result(10)
    assert [batch.tolist() for batch in doubler.batches] == [[1], [3]]


def test_signatures_are_not_mixed(start, doubler):
    doubler.gate.clear()
    ask = start(num_batch_threads=2, batch_timeout_micros=20_000)
    first, second = ask(1), ask(2, signature=OTHER)
    # The second batch starts though the first one still runs.
    wait_until(lambda: len(doubler.batches) == 2)
    doubler.gate.set()
    assert first.result(10).tolist() == [2]
    assert second.result(10).tolist() == [4]
