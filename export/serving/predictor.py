"""Runs and counts predictions, from arrays to arrays, for both protocols."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2

from export.serving.batching import Batcher
from export.serving.errors import ServingError, invalid
from export.serving.models import Model, Models
from export.serving.servable import Arrays, Servable, Signature

_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"


class Predictor:
    """Runs models; a batcher, if there is one, merges requests."""

    def __init__(self, models: Models, batcher: Batcher | None, max_rows: int):
        self.models = models
        self._batcher = batcher
        self._max_rows = max_rows
        self._lock = threading.Lock()
        # By name and labels, as the real server names them.
        self._metrics: dict[str, float] = {}

    @contextlib.contextmanager
    def counted(self, model: Model, entrypoint: str) -> Iterator[None]:
        """Counts a request and its result in the metrics."""
        start = time.monotonic()
        code = tf.errors.UNKNOWN
        try:
            yield
            code = tf.errors.OK
        except ServingError as error:
            code = error.code
            raise
        finally:
            micros = (time.monotonic() - start) * 1e6
            name = f"model_name={json.dumps(model.settings.name)}"
            status = error_codes_pb2.Code.Name(code)
            labels = f'{{{name},API="predict",entrypoint="{entrypoint}"}}'
            with self._lock:
                for key, value in (
                    (f'{_COUNT}{{{name},status="{status}"}}', 1),
                    (f"{_LATENCY}_sum{labels}", micros),
                    (f"{_LATENCY}_count{labels}", 1),
                ):
                    self._metrics[key] = self._metrics.get(key, 0) + value

    def metrics(self) -> str:
        """Counts and sums of latencies, in the format of Prometheus."""
        with self._lock:
            lines = [f"{key} {x:.12g}" for key, x in self._metrics.items()]
        return "".join(line + "\n" for line in sorted(lines))

    def run(
        self,
        servable: Servable,
        signature: Signature,
        feeds: Mapping[str, np.ndarray],
        outputs: list[str],
        deadline: float | None,
    ) -> Arrays:
        """The outputs by name.

        Raises:
          ServingError: the inputs do not fit the signature, the model failed,
            or the deadline (of `time.monotonic`) passed.
        """
        rows = {name: len(x) for name, x in feeds.items() if x.ndim}
        if len(set(rows.values())) > 1 or 0 in rows.values():
            raise invalid(
                "inputs must have equally many rows, at least one; received "
                f"{rows}"
            )
        if max(rows.values(), default=1) > self._max_rows:
            raise invalid(
                f"a request must have at most --max_rows = {self._max_rows} "
                f"rows; received {rows}"
            )
        if self._batcher is None:
            return servable.run(signature, feeds, outputs, deadline)
        return self._batcher.run(
            servable, signature, feeds, tuple(outputs), deadline
        )
