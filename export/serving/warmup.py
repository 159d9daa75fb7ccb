"""Warm-up: requests stored with a version, run before it serves."""

import os

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from export.serving import tensor_protos
from export.serving.errors import Code, ServingError, from_tensorflow
from export.serving.servable import Servable

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MOST_RECORDS = 1000  # the real server refuses more


def run(servable: Servable, path: str) -> int:
    """Runs the requests stored in a version's folder.

    Returns:
      How many there were.

    Raises:
      ServingError: a record cannot be read or run; the version must not serve.
    """
    file = os.path.join(path, FILE)
    if not os.path.exists(file):
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            count += 1
            if count > _MOST_RECORDS:
                raise _fault(count, f"there may be at most {_MOST_RECORDS}")
            _run_record(servable, record, count)
    except tf.errors.OpError as error:
        raise _fault(count + 1, from_tensorflow(error).message) from None
    return count


def _run_record(servable: Servable, record: bytes, number: int) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise _fault(number, "it is no PredictionLog") from None
    if log.WhichOneof("log_type") != "predict_log":
        raise _fault(number, "only predict_log can be run")
    request = log.predict_log.request
    try:
        signature = servable.signature(
            request.model_spec.signature_name or "serving_default",
            Code.INVALID_ARGUMENT,
        )
        feeds = tensor_protos.decode(request, signature)
        signature.check(feeds)
        servable.run(
            signature,
            feeds,
            tensor_protos.output_names(request, signature),
            deadline=None,
        )
    except ServingError as error:
        raise _fault(number, error.message) from None


def _fault(number: int, what: str) -> ServingError:
    return ServingError(
        Code.INVALID_ARGUMENT,
        f"warm-up record {number} in {FILE}: {what}",
    )
