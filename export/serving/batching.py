"""Concurrent requests of one version and signature, run as one batch.

As in TensorFlow Serving, a batch starts when it is full or its first request
has waited `batch_timeout_micros`, and a request is never split. There, a
failure fails the whole batch; here the requests of a failed batch are run
again one by one, so that an invalid request fails alone.
"""

import dataclasses
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from export.serving.errors import ServingError, invalid, timed_out
from export.serving.servable import Arrays, Servable, Signature
from export.serving.settings import BatchingSettings


class _Task(NamedTuple):
    feeds: Mapping[str, np.ndarray]
    rows: int
    deadline: float | None
    answer: Future


@dataclasses.dataclass(eq=False)
class _Batch:
    servable: Servable
    signature: Signature
    outputs: tuple[str, ...]
    since: float  # in the time of `time.monotonic`
    starts_at: float
    tasks: list[_Task] = dataclasses.field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(task.rows for task in self.tasks)


class Batcher:
    """Batches that wait for more requests, and the threads that run them."""

    def __init__(self, settings: BatchingSettings):
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: list[_Batch] = []
        for _ in range(settings.num_batch_threads):
            threading.Thread(target=self._work, daemon=True).start()

    def run(
        self,
        servable: Servable,
        signature: Signature,
        feeds: Mapping[str, np.ndarray],
        outputs: tuple[str, ...],
        deadline: float | None,
    ) -> Arrays:
        """What `servable.run` returns, computed together with other requests.

        Raises:
          ServingError: as `servable.run`, and UNAVAILABLE for a full queue.
        """
        sizes = {len(array) if array.ndim else None for array in feeds.values()}
        rows, limit = sizes.pop(), self._settings.max_batch_size
        if sizes or rows is None or rows > limit:
            raise invalid(
                "with batching, every input must have the same rows, at most "
                f"max_batch_size = {limit}; received {rows}"
            )
        task = _Task(feeds, rows, deadline, Future())
        with self._changed:
            batch = self._batch_for(servable, signature, outputs, rows)
            batch.tasks.append(task)
            if batch.rows == limit:
                batch.starts_at = batch.since
            self._changed.notify()
        left = None
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
        try:
            return task.answer.result(left)
        except (FutureTimeoutError, CancelledError):
            task.answer.cancel()  # where it has not begun, it never will
            raise timed_out() from None

    def _batch_for(self, servable, signature, outputs, rows: int) -> _Batch:
        """The waiting batch that takes the rows, or a new one."""
        kind = servable, signature.name, outputs
        same = [
            batch
            for batch in self._waiting
            if (batch.servable, batch.signature.name, batch.outputs) == kind
        ]
        if same and same[-1].rows + rows <= self._settings.max_batch_size:
            return same[-1]
        if len(same) >= self._settings.max_enqueued_batches:
            raise ServingError(
                tf.errors.UNAVAILABLE,
                "the batching queue is full; try again later",
            )
        if same:  # it gets no more requests
            same[-1].starts_at = same[-1].since
        now = time.monotonic()
        starts_at = now + self._settings.batch_timeout_micros / 1e6
        batch = _Batch(servable, signature, outputs, now, starts_at)
        # The batch may outlive its requests, which can time out.
        servable.acquire()
        self._waiting.append(batch)
        return batch

    def _next(self) -> _Batch:
        """Waits for a batch that may start."""
        with self._changed:
            while True:
                # The oldest first, so that no signature is starved.
                first = min(
                    self._waiting, key=lambda x: x.starts_at, default=None
                )
                left = first and first.starts_at - time.monotonic()
                if first is None or left > 0:
                    self._changed.wait(left)
                    continue
                self._waiting.remove(first)
                if self._waiting:
                    self._changed.notify()  # another thread waits for the rest
                return first

    def _work(self) -> None:
        while True:
            batch = self._next()
            tasks = [
                task
                for task in batch.tasks
                if task.answer.set_running_or_notify_cancel()
            ]
            if tasks:
                self._answer(batch, tasks)
            batch.servable.release()

    def _answer(self, batch: _Batch, tasks: list[_Task]) -> None:
        try:
            answers = self._run(batch, tasks)
        except Exception as error:  # every request must get an answer
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
        feeds = {}
        for name in tasks[0].feeds:
            arrays = [task.feeds[name] for task in tasks]
            # Padded with a row that is known to be valid.
            parts = [*arrays, *[arrays[-1][:1]] * (size - rows)]
            feeds[name] = np.concatenate(parts) if parts[1:] else parts[0]
        deadlines = [task.deadline for task in tasks]
        deadline = None if None in deadlines else max(deadlines)
        outputs = batch.servable.run(
            batch.signature, feeds, batch.outputs, deadline
        )
        if any(not x.ndim or len(x) != size for x in outputs.values()):
            raise ServingError(
                tf.errors.FAILED_PRECONDITION,
                "every output must have a row for each of the inputs' to be "
                "batched",
            )
        ends = np.cumsum([task.rows for task in tasks])
        return [
            {name: x[end - task.rows : end] for name, x in outputs.items()}
            for task, end in zip(tasks, ends, strict=True)
        ]
