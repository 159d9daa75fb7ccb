"""Counts and latencies, as Prometheus reads them from TensorFlow Serving.

prometheus_client would end counters' names in _total; the real server's do
not, and dashboards go by its names.
"""

import bisect
import itertools
import threading
from collections.abc import Callable


def _exponential(first: float, factor: float, count: int) -> list[float]:
    return [first * factor**k for k in range(count)]


class _Metric:
    """Values by labels; `begin` makes the value of labels seen first."""

    def __init__(
        self, name: str, kind: str, labels: tuple[str, ...], begin: Callable
    ):
        self.name = f":tensorflow:{name}"
        self.kind = kind
        self._labels = labels
        self._begin = begin
        self.values: dict[tuple[str, ...], list] = {}

    def value(self, labels: tuple[str, ...]) -> list:
        if labels not in self.values:
            self.values[labels] = self._begin()
        return self.values[labels]

    def label_text(self, labels: tuple[str, ...], *more: str) -> str:
        pairs = [
            f'{name}="{_escaped(value)}"'
            for name, value in zip(self._labels, labels, strict=True)
        ]
        return "{" + ",".join([*pairs, *more]) + "}"


class _Counter(_Metric):
    def __init__(self, name: str, *labels: str):
        super().__init__(name, "counter", labels, lambda: [0])

    def lines(self) -> list[str]:
        return [
            f"{self.name}{self.label_text(labels)} {value[0]}"
            for labels, value in self.values.items()
        ]


class _Histogram(_Metric):
    """Microseconds; a value is the counts a bucket, then the sum."""

    def __init__(self, name: str, buckets: list[float], *labels: str):
        super().__init__(
            name, "histogram", labels, lambda: [0] * (len(buckets) + 2)
        )
        self.buckets = buckets

    def lines(self) -> list[str]:
        result = []
        limits = [*(f"{x:.6g}" for x in self.buckets), "+Inf"]
        for labels, (*counts, total) in self.values.items():
            sums = list(itertools.accumulate(counts))
            for limit, count in zip(limits, sums, strict=True):
                text = self.label_text(labels, f'le="{limit}"')
                result.append(f"{self.name}_bucket{text} {count}")
            text = self.label_text(labels)
            result.append(f"{self.name}_sum{text} {total:.6g}")
            result.append(f"{self.name}_count{text} {sums[-1]}")
        return result


class Metrics:
    """What the server counts; the metrics and buckets are the real one's."""

    def __init__(self, thread_pool_name: str):
        self._lock = threading.Lock()
        self._pool = thread_pool_name
        self._count = _Counter("serving:request_count", "model_name", "status")
        latency = _exponential(10, 1.8, 33)
        self._latency = _Histogram(
            "serving:request_latency",
            latency,
            "model_name",
            "API",
            "entrypoint",
        )
        self._runtime = _Histogram(
            "serving:runtime_latency", latency, "model_name", "API", "runtime"
        )
        self._queuing = _Histogram(
            "serving:batching_session:queuing_latency",
            _exponential(100, 1.2, 52),
            "thread_pool_name",
        )

    def request(
        self, model: str, status: str, seconds: float, entrypoint: str
    ) -> None:
        """Counts a prediction: its gRPC code's name and how long it took."""
        with self._lock:
            self._count.value((model, status))[0] += 1
            _add(self._latency, (model, "predict", entrypoint), seconds)

    def runtime(self, model: str, seconds: float) -> None:
        """Counts how long the model itself took, and the wait for a batch."""
        with self._lock:
            _add(self._runtime, (model, "Predict", "TF1"), seconds)

    def queuing(self, seconds: float) -> None:
        """Counts how long a request waited to be batched."""
        with self._lock:
            _add(self._queuing, (self._pool,), seconds)

    def page(self) -> str:
        """The text Prometheus reads."""
        result = []
        metrics = (self._count, self._latency, self._runtime, self._queuing)
        with self._lock:
            for metric in metrics:
                if metric.values:
                    result.append(f"# TYPE {metric.name} {metric.kind}")
                    result += metric.lines()
        return "".join(line + "\n" for line in result)


def _add(metric: _Histogram, labels: tuple[str, ...], seconds: float) -> None:
    value = metric.value(labels)
    micros = seconds * 1e6
    value[bisect.bisect_left(metric.buckets, micros)] += 1
    value[-1] += micros


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
