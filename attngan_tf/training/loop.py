"""The training loop: steps, intervals and checkpoints, for any model."""

import contextlib
import dataclasses
import functools
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tqdm

from attngan_tf.cli.interruption import InterruptedTraining, Interruption
from attngan_tf.data.input_pipeline import Slice, TrainingData
from attngan_tf.errors import UserError
from attngan_tf.runs.checkpoints import Checkpoints
from attngan_tf.training import distribution
from attngan_tf.training.log import Log

Step = Callable[[dict], Mapping[str, tf.Tensor]]


class NonFiniteLossError(UserError):
    """A loss term is infinite or not a number."""


def compile_step(
    strategy: tf.distribute.Strategy,
    step: Step,
    after_step: Callable[[], None] = lambda: None,
    jit_compile: bool = False,
) -> Step:
    """The step on every replica, in one graph; arguments as for `Loop`.

    Returns:
      A function of a distributed batch that returns each term's sum.
    """
    # AutoGraph takes time to parse the sources, and no branch needs it.
    function = functools.partial(tf.function, autograph=False)
    on_replica = function(step, jit_compile=True) if jit_compile else step

    @function
    def train_step(batch):
        terms = strategy.run(on_replica, args=(batch,))
        with strategy.scope():
            after_step()
        return {
            name: strategy.reduce("SUM", value, axis=None)
            for name, value in terms.items()
        }

    return train_step


def distributed_batches(
    strategy: tf.distribute.Strategy,
    data: TrainingData,
    first_step: int,
    prepare_batches: Callable = lambda dataset: dataset,
) -> tf.distribute.DistributedDataset:
    """Batches for every replica, starting after `first_step` steps.

    The other arguments are those of `Loop`.
    """

    def part(context: tf.distribute.InputContext):
        rows = data.batch_size // context.num_input_pipelines
        each = data.batch_size // context.num_replicas_in_sync
        first = context.input_pipeline_id * rows
        return prepare_batches(
            data.batches(first_step, Slice(first, rows, each))
        )

    return strategy.distribute_datasets_from_function(part)


@dataclasses.dataclass(kw_only=True, eq=False)
class Loop:
    """Runs a step on the batches of a strategy's replicas."""

    strategy: tf.distribute.Strategy
    # Raises when Ctrl-C or SIGTERM stops the training.
    interruption: Interruption
    # Runs on each replica, on its part of a batch. Returns terms, whose sums
    # over the replicas are reported.
    step: Step
    data: TrainingData
    checkpoints: Checkpoints
    log: Log
    # Steps between two reports, and between two checkpoints.
    log_interval: int
    checkpoint_interval: int
    # Pairs of an interval in steps and a function of the step, which is called
    # at this interval and after the last step, before a checkpoint is written.
    events: Sequence[tuple[int, Callable[[int], None]]]
    # Runs after each step, outside of the replicas.
    after_step: Callable[[], None] = lambda: None
    # Changes the dataset of a replica's batches.
    prepare_batches: Callable = lambda dataset: dataset
    # Returns values to report as they are, such as learning rates.
    rates: Callable[[], Mapping[str, float]] = dict
    # Whether XLA compiles the step.
    jit_compile: bool = False

    def __post_init__(self):
        self.train_step = compile_step(
            self.strategy, self.step, self.after_step, self.jit_compile
        )
        self._step = 0  # the last completed step
        self._pending: list[tuple[int, Mapping[str, tf.Tensor]]] = []
        self._since = 0.0  # when the steps in _pending began

    def batches(self, first_step: int) -> tf.distribute.DistributedDataset:
        """Batches for every replica, starting after `first_step` steps."""
        return distributed_batches(
            self.strategy, self.data, first_step, self.prepare_batches
        )

    def run(self, total_steps: int) -> None:
        """Trains from the last checkpoint up to `total_steps`, and saves.

        Raises:
          NonFiniteLossError: names the term and the step; the last
            checkpoint is retained.
          InterruptedTraining: on Ctrl-C or SIGTERM, after the state is saved.
        """
        step = distribution.agreed_step(
            self.strategy, self.checkpoints.last_step()
        )
        self.checkpoints.restore(step)
        self._step = step
        with self._agreeing():
            try:
                with self.interruption.errors_converted():
                    if not self.checkpoints.events_done:
                        self._events(step, total_steps)
                        self._save()
                    if step < total_steps:
                        self._train(step, total_steps)
            except InterruptedTraining:
                if not self._step:
                    raise  # there is nothing to save
                if self._step != self.checkpoints.saved:
                    self._report()
                    self._save(events_done=False)
                raise InterruptedTraining(
                    f"saved step {self._step} of {total_steps}; run the same "
                    "command to continue"
                ) from None

    def _agreeing(self) -> contextlib.AbstractContextManager:
        """Makes several workers stop after the same step."""
        if distribution.has_workers(self.strategy):
            return self.interruption.deferred()
        return contextlib.nullcontext()

    def _train(self, first: int, total_steps: int) -> None:
        bar = tqdm.tqdm(
            total=total_steps,
            initial=first,
            desc=self.log.stage,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 60,
        )
        any_worker = distribution.any_worker(self.strategy)
        with bar:
            batches = iter(self.batches(first))
            for step in range(first + 1, total_steps + 1):
                batch = next(batches)
                if step == first + 1:  # tracing may be interrupted
                    graph = self.train_step.get_concrete_function(batch).graph
                    if step == 1:
                        self.log.graph(graph)
                    self._since = time.perf_counter()
                with self.interruption.deferred():
                    self._pending.append((step, self.train_step(batch)))
                    self._step = step
                bar.update()
                self._after(step, total_steps)
                # With a single worker, the exception was raised already.
                if any_worker(self.interruption.asked):
                    raise InterruptedTraining

    def _after(self, step: int, total_steps: int) -> None:
        """Reports, calls the events that are due, and saves."""
        ended = step == total_steps
        if step % self.log_interval == 0 or ended:
            self._report()
        self._events(step, total_steps)
        if step % self.checkpoint_interval == 0 or ended:
            self._report()
            self._save()

    def _events(self, step: int, total_steps: int) -> None:
        for interval, event in self.events:
            if step % interval == 0 or step == total_steps:
                self._report()
                event(step)
                self._since = time.perf_counter()

    def _save(self, events_done: bool = True) -> None:
        with self.interruption.deferred():
            self.checkpoints.save(self._step, events_done)
        self._since = time.perf_counter()

    def _report(self) -> None:
        """Logs the means of the steps since the last report."""
        if not self._pending:
            return
        rows = [
            {name: float(value) for name, value in terms.items()}
            for _, terms in self._pending
        ]
        for (step, _), row in zip(self._pending, rows, strict=True):
            _check_finite(step, row)
        seconds = time.perf_counter() - self._since
        values = {
            name: sum(row[name] for row in rows) / len(rows) for name in rows[0]
        }
        values["images_per_second"] = len(rows) * self.data.batch_size / seconds
        with self.interruption.deferred():  # or steps could be reported twice
            self.log.report(self._pending[-1][0], values | self.rates())
            self._pending.clear()
        self._since = time.perf_counter()


def _check_finite(step: int, terms: Mapping[str, float]) -> None:
    for name, value in terms.items():
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"losses must be finite; {name} was {value} at step {step}; "
                "the last good checkpoint is retained; train in a new "
                "--workdir with lower learning rates, or with "
                "--precision=float32"
            )
