"""Merges concurrent requests for one version and signature into batches.

As in TensorFlow Serving, a batch starts when it is full or its first request
has waited `batch_timeout_micros`, and a request is never split. There, a
failure fails the whole batch; here the requests of a failed batch are run
again one by one, so that an invalid request fails alone.
"""

import collections
import dataclasses
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
    tasks: list[_Task] = dataclasses.field(default_factory=list)
    rows: int = 0
    full: threading.Event = dataclasses.field(default_factory=threading.Event)


class Batcher:
    """Merges requests; the first one in a batch waits for the others."""

    def __init__(self, settings: BatchingSettings):
        self._settings = settings
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(settings.num_batch_threads)
        self._open: dict[tuple, _Batch] = {}
        self._waiting = collections.Counter()  # batches, by the same keys

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
                "with batching, inputs must have equally many rows, at most "
                f"max_batch_size = {limit}; received {rows}"
            )
        task = _Task(feeds, rows, deadline, Future())
        key = servable, signature.name, outputs
        with self._lock:
            batch = self._open.get(key)
            is_first = batch is None or batch.rows + rows > limit
            if is_first:
                batch = self._new_batch(key)
            batch.tasks.append(task)
            batch.rows += rows
            if batch.rows == limit:
                batch.full.set()
        if is_first:
            batch.full.wait(self._settings.batch_timeout_micros / 1e6)
            self._pool.submit(self._start, batch, key, signature)
        left = None
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
        try:
            return task.answer.result(left)
        except FutureTimeoutError:
            raise timed_out() from None

    def _new_batch(self, key: tuple) -> _Batch:
        if self._waiting[key] >= self._settings.max_enqueued_batches:
            raise ServingError(
                tf.errors.UNAVAILABLE,
                "the batching queue is full; try again later",
            )
        if key in self._open:
            self._open[key].full.set()  # it gets no more requests
        key[0].acquire()  # the batch may outlive its requests
        self._waiting[key] += 1
        self._open[key] = _Batch()
        return self._open[key]

    def _start(self, batch: _Batch, key: tuple, signature: Signature) -> None:
        servable, _, outputs = key
        with self._lock:
            if self._open.get(key) is batch:
                del self._open[key]
            self._waiting -= collections.Counter([key])
        now = time.monotonic()
        tasks = [x for x in batch.tasks if (x.deadline or now) >= now]
        self._answer(tasks, servable, signature, outputs)
        servable.release()

    def _answer(self, tasks: list[_Task], *call) -> None:
        try:
            answers = self._run(tasks, *call) if tasks else []
        except Exception as error:  # every request must get an answer
            if len(tasks) == 1:
                tasks[0].answer.set_exception(error)
                return
            for task in tasks:
                self._answer([task], *call)
            return
        for task, answer in zip(tasks, answers, strict=True):
            task.answer.set_result(answer)

    def _run(
        self,
        tasks: list[_Task],
        servable: Servable,
        signature: Signature,
        outputs: tuple[str, ...],
    ) -> list[Arrays]:
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
        found = servable.run(signature, feeds, outputs, deadline)
        if any(not x.ndim or len(x) != size for x in found.values()):
            raise ServingError(
                tf.errors.FAILED_PRECONDITION,
                "with batching, every output must have as many rows as the "
                "inputs",
            )
        ends = np.cumsum([task.rows for task in tasks])
        return [
            {name: x[end - task.rows : end] for name, x in found.items()}
            for task, end in zip(tasks, ends, strict=True)
        ]
