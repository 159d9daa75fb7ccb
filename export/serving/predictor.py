"""A prediction, from arrays to arrays: both protocols end here."""

import contextlib
import time
from collections.abc import Iterator, Mapping

import numpy as np

from export.serving.batching import Batcher
from export.serving.errors import Code, ServingError, invalid
from export.serving.models import Models
from export.serving.monitoring import Metrics
from export.serving.servable import PREDICT_METHOD, Servable, Signature
from export.serving.versions import Model


class Predictor:
    """Runs models, merged with other requests if there is a batcher."""

    def __init__(
        self,
        models: Models,
        batcher: Batcher | None,
        metrics: Metrics,
        max_rows: int,
    ):
        self.models = models
        self._max_rows = max_rows
        self._batcher = batcher
        self._metrics = metrics

    @contextlib.contextmanager
    def counted(self, model: Model, entrypoint: str) -> Iterator[None]:
        """Counts a request, and how it ends, in the metrics."""
        start = time.monotonic()
        code = Code.UNKNOWN
        try:
            yield
            code = Code.OK
        except ServingError as error:
            code = error.code
            raise
        finally:
            self._metrics.request(
                model.settings.name,
                code.name,
                time.monotonic() - start,
                entrypoint,
            )

    def run(
        self,
        servable: Servable,
        signature: Signature,
        feeds: Mapping[str, np.ndarray],
        outputs: list[str],
        deadline: float | None,
    ) -> dict[str, np.ndarray]:
        """The outputs by name.

        Raises:
          ServingError: the inputs do not fit the signature, the model failed,
            or the deadline (of `time.monotonic`) passed.
        """
        if signature.method != PREDICT_METHOD:
            raise invalid(f"the signature {signature.name} cannot predict")
        rows = signature.check(feeds)
        if rows > self._max_rows:
            raise invalid(
                f"a request must have at most --max_rows = {self._max_rows} "
                f"rows; received {rows}"
            )
        start = time.monotonic()
        if self._batcher is None:
            result = servable.run(signature, feeds, outputs, deadline)
        else:
            result = self._batcher.run(
                servable, signature, feeds, tuple(outputs), deadline
            )
        self._metrics.runtime(servable.model, time.monotonic() - start)
        return result
