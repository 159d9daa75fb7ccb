"""Concurrent requests of one version and signature, run as one batch.

As TensorFlow Serving's batching session does it: a batch starts when it is
full or its first request has waited `batch_timeout_micros`; a request is
never split. There what fails, fails for the whole batch; here the requests of
a batch that failed are run again, each alone: a stranger's mistake is no one
else's.
"""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import numpy as np

from export.serving.errors import Code, ServingError, invalid, timed_out
from export.serving.servable import Servable, Signature
from export.serving.settings import BatchingSettings

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(eq=False)
class _Task:
    feeds: Mapping[str, np.ndarray]
    rows: int
    deadline: float | None
    since: float
    answer: Future


@dataclasses.dataclass(eq=False)
class _Batch:
    servable: Servable
    signature: Signature
    outputs: tuple[str, ...]
    since: float
    tasks: list[_Task] = dataclasses.field(default_factory=list)
    rows: int = 0


class Batcher:
    """Queues by version, signature and outputs, and threads that empty them.

    `waited` is told how many seconds each request waited in its queue.
    """

    def __init__(
        self, settings: BatchingSettings, waited: Callable[[float], None]
    ):
        self._settings = settings
        self._waited = waited
        self._timeout = settings.batch_timeout_micros / 1e6
        self._changed = threading.Condition()
        self._queues: dict[tuple, collections.deque[_Batch]] = {}
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, daemon=True)
            for _ in range(settings.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self,
        servable: Servable,
        signature: Signature,
        feeds: Mapping[str, np.ndarray],
        outputs: tuple[str, ...],
        deadline: float | None,
    ) -> Arrays:
        """What `servable.run` returns, computed along with other requests.

        Raises:
          ServingError: as `servable.run`, and UNAVAILABLE for a full queue.
        """
        rows = self._rows(feeds)
        now = time.monotonic()
        task = _Task(feeds, rows, deadline, now, Future())
        self._enqueue(servable, signature, outputs, task)
        left = None if deadline is None else max(0.0, deadline - now)
        try:
            return task.answer.result(left)
        except (FutureTimeoutError, CancelledError):
            task.answer.cancel()  # if it has not begun, it never will
            raise timed_out() from None

    def _rows(self, feeds: Mapping[str, np.ndarray]) -> int:
        sizes = {
            name: len(array) if array.ndim else None
            for name, array in feeds.items()
        }
        rows = next(iter(sizes.values()))
        if rows is None or set(sizes.values()) != {rows}:
            raise invalid(
                "with batching, every input must have the same first "
                f"dimension; received {sizes}"
            )
        if rows > self._settings.max_batch_size:
            raise invalid(
                f"a request must have at most max_batch_size = "
                f"{self._settings.max_batch_size} rows; received {rows}"
            )
        return rows

    def _enqueue(
        self,
        servable: Servable,
        signature: Signature,
        outputs: tuple[str, ...],
        task: _Task,
    ) -> None:
        most = self._settings.max_batch_size
        key = (id(servable), signature.name, outputs)
        with self._changed:
            queue = self._queues.setdefault(key, collections.deque())
            if not queue or queue[-1].rows + task.rows > most:
                if len(queue) >= self._settings.max_enqueued_batches:
                    raise ServingError(
                        Code.UNAVAILABLE,
                        "the batching queue is full; try again later",
                    )
                queue.append(_Batch(servable, signature, outputs, task.since))
                # The batch may outlive its requests, which can time out.
                servable.acquire()
            queue[-1].tasks.append(task)
            queue[-1].rows += task.rows
            if len(queue[-1].tasks) == 1 or queue[-1].rows == most:
                self._changed.notify()

    def _starts_at(self, queue: collections.deque[_Batch]) -> float:
        first = queue[0]
        full = len(queue) > 1 or first.rows >= self._settings.max_batch_size
        # A full one may start at once. The oldest goes first: a signature
        # that is asked for without end would keep the others waiting.
        now = full or self._stopped
        return first.since + (0.0 if now else self._timeout)

    def _next(self) -> _Batch | None:
        """Waits for a batch that may start; None: the work is over."""
        with self._changed:
            while True:
                if not self._queues:
                    if self._stopped:
                        return None
                    self._changed.wait()
                    continue
                key = min(
                    self._queues,
                    key=lambda key: self._starts_at(self._queues[key]),
                )
                queue = self._queues[key]
                left = self._starts_at(queue) - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                batch = queue.popleft()
                if not queue:
                    del self._queues[key]
                if self._queues:
                    # Somebody else must watch over the rest's time-outs.
                    self._changed.notify()
                return batch

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._process(batch)
            finally:
                batch.servable.release()

    def _process(self, batch: _Batch) -> None:
        now = time.monotonic()
        tasks = []
        for task in batch.tasks:
            if task.answer.set_running_or_notify_cancel():
                tasks.append(task)
                self._waited(now - task.since)
        if tasks:
            self._answer(batch, tasks)

    def _answer(self, batch: _Batch, tasks: list[_Task]) -> None:
        try:
            answers = self._run(batch, tasks)
        except Exception as error:  # whoever waits must be told
            if len(tasks) == 1:
                tasks[0].answer.set_exception(error)
                return
            for task in tasks:
                self._answer(batch, [task])
            return
        for task, answer in zip(tasks, answers, strict=True):
            task.answer.set_result(answer)

    def _run(self, batch: _Batch, tasks: list[_Task]) -> list[Arrays]:
        rows = sum(task.rows for task in tasks)
        size = self._settings.padded(rows)
        feeds = {
            name: _merge([task.feeds[name] for task in tasks], size - rows)
            for name in tasks[0].feeds
        }
        deadlines = [task.deadline for task in tasks]
        outputs = batch.servable.run(
            batch.signature,
            feeds,
            batch.outputs,
            None if None in deadlines else max(deadlines),
        )
        for name, array in outputs.items():
            if not array.ndim or len(array) != size:
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"output {name} of shape {array.shape} has no row for "
                    f"each of the batch's {size}; it cannot be batched",
                )
        ends = np.cumsum([task.rows for task in tasks])
        return [
            {
                name: array[end - task.rows : end]
                for name, array in outputs.items()
            }
            for task, end in zip(tasks, ends, strict=True)
        ]

    def close(self) -> None:
        """Runs what is queued, then ends the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


def _merge(arrays: list[np.ndarray], padding: int) -> np.ndarray:
    if len({array.shape[1:] for array in arrays}) > 1:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            "requests of one batch have inputs of different shapes",
        )
    # A row that is known to be valid: the padding cannot fail.
    filler = [arrays[-1][:1]] * padding
    parts = [*arrays, *filler]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]
