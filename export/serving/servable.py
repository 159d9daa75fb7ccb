"""One version of a model, loaded into a Session of its own."""

import gc
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from export.serving import errors
from export.serving.errors import ServingError

Arrays = dict[str, np.ndarray]


class Signature(NamedTuple):
    """A signature, and its tensors by name."""

    name: str
    inputs: dict[str, tf.Tensor]
    outputs: dict[str, tf.Tensor]


class Servable:
    """A SavedModel that answers requests until it is retired and unused.

    Args:
      model: its name.
      version: its version.
      path: the version's folder.
      config: the session's configuration.

    Raises:
      ServingError: the folder holds no SavedModel that can be served.
    """

    def __init__(
        self,
        model: str,
        version: int,
        path: str,
        config: tf.compat.v1.ConfigProto | None = None,
    ):
        self.model = model
        self.version = version
        self._lock = threading.Lock()
        self._users = 0
        self._closed: Callable[[], None] | None = None
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(
                    self._session, [tf.saved_model.SERVING], path
                )
            self._graph.finalize()
            self.signature_defs = meta_graph.signature_def
            self.signatures = {
                name: Signature(
                    name,
                    self._tensors(definition.inputs),
                    self._tensors(definition.outputs),
                )
                for name, definition in self.signature_defs.items()
                if definition.inputs  # an initializer has none
            }
        except Exception as error:  # a broken file can raise anything
            self._close()
            raise errors.from_exception(error) from error

    def _tensors(self, infos) -> dict[str, tf.Tensor]:
        find = self._graph.get_tensor_by_name
        return {key: find(infos[key].name) for key in sorted(infos)}

    def signature(self, name: str, missing: int) -> Signature:
        """A signature by name; an unknown one raises with code `missing`."""
        name = name or "serving_default"
        if name not in self.signatures:
            raise ServingError(
                missing,
                f"{self.model} has no signature {errors.shown(name)}; it has "
                f"{', '.join(self.signatures)}",
            )
        return self.signatures[name]

    def run(
        self,
        signature: Signature,
        feeds: Mapping[str, np.ndarray],
        outputs: Iterable[str],
        deadline: float | None,
    ) -> Arrays:
        """The outputs by name.

        Args:
          signature: one of this servable's.
          feeds: an array for every input.
          outputs: names of what to compute.
          deadline: in the time of `time.monotonic`; None: no limit.

        Raises:
          ServingError: an array does not fit its input, the model failed, or
            the deadline passed.
        """
        options = tf.compat.v1.RunOptions()
        if deadline is not None:
            left = int((deadline - time.monotonic()) * 1000)
            if left <= 0:
                raise errors.timed_out()
            options.timeout_in_ms = min(left, 2**31 - 1)
        names = list(outputs)
        fetches = [signature.outputs[name] for name in names]
        feed = {signature.inputs[name]: x for name, x in feeds.items()}
        try:
            values = self._session.run(fetches, feed, options=options)
        except tf.errors.DeadlineExceededError:
            raise errors.timed_out() from None
        except tf.errors.OpError as error:
            raise errors.from_exception(error) from None
        except ValueError as error:  # an array of another shape
            raise errors.invalid(str(error)) from None
        return {
            name: np.asarray(
                value, object if isinstance(value, bytes) else None
            )
            for name, value in zip(names, values, strict=True)
        }

    def acquire(self) -> None:
        """Keeps the session open until `release`."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Ends what `acquire` began."""
        with self._lock:
            self._users -= 1
            last = self._closed is not None and not self._users
        if last:
            self._close()

    def retire(self, closed: Callable[[], None]) -> None:
        """Closes the session once nobody uses it, and then calls `closed`."""
        self.acquire()
        self._closed = closed
        self.release()

    def _close(self) -> None:
        self._session.close()
        self.signatures = {}
        del self._session, self._graph
        # A graph is full of reference cycles: otherwise the weights of retired
        # versions would stay in memory for a long time.
        gc.collect()
        if self._closed is not None:
            self._closed()
