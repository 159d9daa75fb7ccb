"""Merging concurrent requests."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest

from export.serving.batching import Batcher
from export.serving.errors import Code, ServingError
from export.serving.predictor import Predictor
from export.serving.servable import PREDICT_METHOD, Signature, TensorSpec
from export.serving.settings import BatchingSettings

SIGNATURE = Signature("s", PREDICT_METHOD, {}, {}, {})
OUTPUTS = ("y",)


class Doubler:
    """Runs like a servable: y = 2 x; notes the batches; waits for `gate`."""

    def __init__(self):
        self.batches = []
        self.users = 0
        self.gate = threading.Event()
        self.gate.set()
        self.result = lambda x: 2 * x

    def run(self, signature, feeds, outputs, deadline):
        self.batches.append(feeds["x"].copy())
        assert self.gate.wait(20)
        if (feeds["x"] < 0).any():
            raise ServingError(Code.INVALID_ARGUMENT, "negative")
        return {"y": self.result(feeds["x"])}

    def acquire(self):
        self.users += 1

    def release(self):
        self.users -= 1


@pytest.fixture
def doubler():
    return Doubler()


@pytest.fixture
def make():
    """Makes batchers, and ends them."""
    made = []

    def make(**fields):
        fields = {
            "max_batch_size": 4,
            "batch_timeout_micros": 200_000,
            "num_batch_threads": 1,
            **fields,
        }
        waits = []
        made.append(Batcher(BatchingSettings(**fields), waits.append))
        made[-1].waits = waits
        return made[-1]

    yield make
    for batcher in made:
        batcher.close()


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        yield pool


def ask(batcher, doubler, *rows, deadline=None, signature=SIGNATURE):
    feeds = {"x": np.array(rows, np.float32)}
    return batcher.run(doubler, signature, feeds, OUTPUTS, deadline)["y"]


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_full_batch_does_not_wait(make, doubler, pool):
    batcher = make(batch_timeout_micros=60_000_000)
    answers = [pool.submit(ask, batcher, doubler, k) for k in range(4)]
    assert sorted(a.result(10)[0] for a in answers) == [0, 2, 4, 6]
    assert [len(batch) for batch in doubler.batches] == [4]
    assert len(batcher.waits) == 4
    wait_until(lambda: doubler.users == 0)


def test_everyone_gets_their_own_rows(make, doubler, pool):
    batcher = make(num_batch_threads=2, batch_timeout_micros=1000)
    questions = [[100 * k + j for j in range(1 + k % 4)] for k in range(60)]
    answers = pool.map(lambda rows: ask(batcher, doubler, *rows), questions)
    for rows, answer in zip(questions, answers, strict=True):
        assert answer.tolist() == [2 * row for row in rows]
    assert max(map(len, doubler.batches)) <= 4
    assert len(doubler.batches) < len(questions)


def test_a_lone_request_waits_for_the_time_out(make, doubler):
    batcher = make(batch_timeout_micros=100_000)
    start = time.monotonic()
    assert ask(batcher, doubler, 3).tolist() == [6]
    assert time.monotonic() - start >= 0.1


def test_a_request_that_does_not_fit_is_not_split(make, doubler, pool):
    doubler.gate.clear()
    batcher = make(batch_timeout_micros=0)
    first = pool.submit(ask, batcher, doubler, 1)
    wait_until(lambda: len(doubler.batches) == 1)  # the only thread is busy
    others = [
        pool.submit(ask, batcher, doubler, *range(size)) for size in (3, 3)
    ]
    time.sleep(0.05)
    doubler.gate.set()
    for answer in (first, *others):
        answer.result(10)
    assert [len(batch) for batch in doubler.batches] == [1, 3, 3]


def test_padding_repeats_a_row(make, doubler):
    batcher = make(batch_timeout_micros=0, allowed_batch_sizes=(2, 4))
    assert ask(batcher, doubler, 5, 6, 7).tolist() == [10, 12, 14]
    assert ask(batcher, doubler, 5).tolist() == [10]
    assert [b.tolist() for b in doubler.batches] == [[5, 6, 7, 7], [5, 5]] or [
        b.tolist() for b in doubler.batches
    ] == [[5, 6, 7, 5], [5, 5]]


def error_of(future_or_call):
    with pytest.raises(ServingError) as raised:
        future_or_call()
    return raised.value.code


def test_a_request_larger_than_a_batch_is_refused(make, doubler):
    batcher = make()
    code = error_of(lambda: ask(batcher, doubler, *range(5)))
    assert code is Code.INVALID_ARGUMENT
    assert not doubler.batches


def test_inputs_must_have_equally_many_rows(make, doubler):
    batcher = make()
    for feeds in (
        {"x": np.zeros(2), "z": np.zeros(3)},
        {"x": np.zeros(2), "z": np.zeros(())},
    ):
        code = error_of(
            lambda feeds=feeds: batcher.run(
                doubler, SIGNATURE, feeds, OUTPUTS, None
            )
        )
        assert code is Code.INVALID_ARGUMENT


def test_a_full_queue_refuses(make, doubler, pool):
    doubler.gate.clear()
    batcher = make(max_enqueued_batches=2, batch_timeout_micros=0)
    busy = pool.submit(ask, batcher, doubler, 1)
    wait_until(lambda: len(doubler.batches) == 1)
    queued = [pool.submit(ask, batcher, doubler, *range(4)) for _ in range(2)]
    wait_until(lambda: doubler.users == 3)
    code = error_of(lambda: ask(batcher, doubler, *range(4)))
    assert code is Code.UNAVAILABLE
    doubler.gate.set()
    for answer in (busy, *queued):
        answer.result(10)


def test_a_failing_row_fails_nobody_elses(make, doubler, pool):
    batcher = make(batch_timeout_micros=60_000_000)
    good = [pool.submit(ask, batcher, doubler, k) for k in (1, 2, 3)]
    bad = pool.submit(ask, batcher, doubler, -1)
    assert [a.result(10).tolist() for a in good] == [[2], [4], [6]]
    assert error_of(lambda: bad.result(10)) is Code.INVALID_ARGUMENT
    assert sorted(map(len, doubler.batches)) == [1, 1, 1, 1, 4]
    wait_until(lambda: doubler.users == 0)


@pytest.mark.parametrize(
    "result", [lambda x: x.sum(), lambda x: x[:0], lambda x: np.zeros((9, 1))]
)
def test_outputs_without_a_row_each_are_an_error(make, doubler, result):
    doubler.result = result
    batcher = make(batch_timeout_micros=0)
    code = error_of(lambda: ask(batcher, doubler, 1))
    assert code is Code.FAILED_PRECONDITION


def test_a_fault_of_the_code_reaches_who_waits(make, doubler):
    doubler.result = lambda x: 1 / 0
    batcher = make(batch_timeout_micros=0)
    with pytest.raises(ZeroDivisionError):
        ask(batcher, doubler, 1)
    doubler.result = lambda x: x
    assert ask(batcher, doubler, 1).tolist() == [1]


def test_a_time_out_ends_the_wait_and_the_work(make, doubler, pool):
    doubler.gate.clear()
    batcher = make(batch_timeout_micros=0)
    busy = pool.submit(ask, batcher, doubler, 1)
    wait_until(lambda: len(doubler.batches) == 1)
    deadline = time.monotonic() + 0.05
    code = error_of(lambda: ask(batcher, doubler, 2, deadline=deadline))
    assert code is Code.DEADLINE_EXCEEDED
    doubler.gate.set()
    busy.result(10)
    ask(batcher, doubler, 3)
    assert [b.tolist() for b in doubler.batches] == [[1], [3]]
    wait_until(lambda: doubler.users == 0)


def test_signatures_are_not_mixed_and_wait_for_nobody(make, doubler, pool):
    other = SIGNATURE._replace(name="other")
    doubler.gate.clear()
    batcher = make(num_batch_threads=2, batch_timeout_micros=20_000)
    first = pool.submit(ask, batcher, doubler, 1)
    time.sleep(0.01)
    second = pool.submit(ask, batcher, doubler, 2, signature=other)
    # The second batch starts though the first thread is held up.
    wait_until(lambda: len(doubler.batches) == 2)
    doubler.gate.set()
    assert first.result(10).tolist() == [2]
    assert second.result(10).tolist() == [4]


def test_full_batches_do_not_pass_those_who_waited_longer(make, doubler, pool):
    other = SIGNATURE._replace(name="other")
    doubler.gate.clear()
    batcher = make(batch_timeout_micros=1000)
    answers = [pool.submit(ask, batcher, doubler, 1, 2, 3, 4)]
    wait_until(lambda: len(doubler.batches) == 1)
    answers.append(pool.submit(ask, batcher, doubler, 5, signature=other))
    wait_until(lambda: doubler.users == 2)
    time.sleep(0.01)
    answers.append(pool.submit(ask, batcher, doubler, 6, 7, 8, 9))
    wait_until(lambda: doubler.users == 3)
    doubler.gate.set()
    for answer in answers:
        answer.result(10)
    assert [len(batch) for batch in doubler.batches] == [4, 1, 4]


def test_closing_runs_what_is_queued(make, doubler, pool):
    batcher = make(batch_timeout_micros=60_000_000)
    answer = pool.submit(ask, batcher, doubler, 1)
    wait_until(lambda: doubler.users == 1)
    batcher.close()
    assert answer.result(10).tolist() == [2]


def test_rows_are_limited_as_they_are_without_batching(make, doubler):
    """By themselves, batches may have 1,000."""
    batcher = make(max_batch_size=1000)
    predictor = Predictor(None, batcher, None, max_rows=64)
    spec = TensorSpec(None, np.dtype(np.int64), (None,))
    signature = SIGNATURE._replace(inputs={"x": spec})
    feeds = {"x": np.arange(65)}
    with pytest.raises(ServingError, match="--max_rows = 64") as raised:
        predictor.run(doubler, signature, feeds, ["y"], None)
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert not doubler.batches
