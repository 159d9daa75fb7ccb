"""One version of a model, loaded into a Session of its own."""

import gc
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from export.serving import errors
from export.serving.errors import Code, ServingError

PREDICT_METHOD = "tensorflow/serving/predict"


class TensorSpec(NamedTuple):
    """An input or output: its tensor, and what is known of its shape.

    `dtype` is numpy's, object for strings; `shape` has None for a dimension
    of any size, and is None where even the rank is open.
    """

    tensor: tf.Tensor
    dtype: np.dtype
    shape: tuple[int | None, ...] | None


class Signature(NamedTuple):
    """What a request can ask for."""

    name: str
    method: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    defaults: Mapping[str, object]  # input name -> TensorProto

    def check(self, feeds: Mapping[str, np.ndarray]) -> int:
        """The number of rows of arrays; 0: the inputs have none.

        Raises:
          ServingError: the arrays do not fit the inputs.
        """
        rows = {}
        for name, array in feeds.items():
            spec = self.inputs[name]
            if not _fits(array.shape, spec.shape):
                raise errors.invalid(
                    f"input {name} must have the shape "
                    f"{_shape_text(spec.shape)}; received {list(array.shape)}"
                )
            if spec.shape and spec.shape[0] is None:
                rows[name] = len(array)
        if len(set(rows.values())) > 1:
            raise errors.invalid(
                f"inputs must have equally many rows; received {rows}"
            )
        if 0 in rows.values():
            raise errors.invalid("a request must have at least one row")
        return max(rows.values(), default=0)


class Servable:
    """A SavedModel that answers requests until it is retired and unused.

    Args:
      model: its name.
      version: its version.
      path: the version's folder.
      config: of the session.

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
                name: self._signature(name, definition)
                for name, definition in self.signature_defs.items()
            }
        except Exception as error:  # a broken file can raise anything
            self._close()
            raise _load_error(error) from error

    def _signature(self, name: str, definition) -> Signature:
        def specs(infos) -> dict[str, TensorSpec]:
            return {key: self._spec(infos[key]) for key in sorted(infos)}

        inputs = specs(definition.inputs)
        # An initializer's output is an operation: nobody can fetch it.
        outputs = specs(definition.outputs) if inputs else {}
        return Signature(
            name,
            definition.method_name,
            inputs,
            outputs,
            dict(definition.defaults),
        )

    def _spec(self, info) -> TensorSpec:
        tensor = self._graph.get_tensor_by_name(info.name)
        shape = tf.TensorShape(info.tensor_shape)
        return TensorSpec(
            tensor,
            np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype),
            None if shape.rank is None else tuple(shape.as_list()),
        )

    def signature(self, name: str, missing: Code) -> Signature:
        """A signature by name; an unknown one raises with code `missing`."""
        try:
            return self.signatures[name]
        except KeyError:
            known = [key for key, s in self.signatures.items() if s.inputs]
            raise ServingError(
                missing,
                f"{self.model} has no signature {errors.shown(name)}; it has "
                f"{', '.join(known)}",
            ) from None

    def run(
        self,
        signature: Signature,
        feeds: Mapping[str, np.ndarray],
        outputs: Iterable[str],
        deadline: float | None,
    ) -> dict[str, np.ndarray]:
        """The outputs by name.

        Args:
          signature: one of this servable's.
          feeds: an array for every input; they fit the signature.
          outputs: names of what to compute.
          deadline: in the time of `time.monotonic`; None: no limit.

        Raises:
          ServingError: the model failed, or the deadline passed.
        """
        options = tf.compat.v1.RunOptions()
        if deadline is not None:
            left = int((deadline - time.monotonic()) * 1000)
            if left <= 0:
                raise errors.timed_out()
            options.timeout_in_ms = min(left, 2**31 - 1)
        fetches = {name: signature.outputs[name].tensor for name in outputs}
        feed_dict = {
            signature.inputs[name].tensor: array
            for name, array in feeds.items()
        }
        try:
            values = self._session.run(
                list(fetches.values()), feed_dict, options=options
            )
        except tf.errors.DeadlineExceededError:
            raise errors.timed_out() from None
        except tf.errors.OpError as error:
            raise errors.from_tensorflow(error) from None
        return {
            name: np.asarray(
                value, object if isinstance(value, bytes) else None
            )
            for name, value in zip(fetches, values, strict=True)
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
        with self._lock:
            self._closed = closed
            last = not self._users
        if last:
            self._close()

    def _close(self) -> None:
        self._session.close()
        self.signatures = {}
        # A graph is full of reference cycles: without it, the weights of
        # versions that are gone stay in memory for long.
        del self._session, self._graph
        gc.collect()
        if self._closed is not None:
            self._closed()


def _fits(shape: tuple[int, ...], wanted: tuple | None) -> bool:
    return wanted is None or (
        len(shape) == len(wanted)
        and all(b in (None, a) for a, b in zip(shape, wanted, strict=True))
    )


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if x is None else str(x) for x in shape)}]"


def _load_error(error: Exception) -> ServingError:
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return errors.from_tensorflow(error)
    code = Code.NOT_FOUND if isinstance(error, OSError) else Code.UNKNOWN
    return ServingError(code, f"{type(error).__name__}: {error}")
