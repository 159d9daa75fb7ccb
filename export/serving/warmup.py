"""Warm-up: requests stored with a version, run before it serves."""

import os

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export.serving import errors, tensor_protos
from export.serving.servable import Servable

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def run(servable: Servable, path: str) -> int:
    """Runs the requests stored in a version's folder.

    Returns:
      The number of requests.

    Raises:
      ServingError: a record cannot be read or run.
    """
    file = os.path.join(path, FILE)
    count = 0
    if not os.path.exists(file):
        return count
    try:
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            count += 1
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            signature = servable.signature(
                request.model_spec.signature_name, tf.errors.INVALID_ARGUMENT
            )
            feeds = tensor_protos.decode(request, signature)
            servable.run(signature, feeds, signature.outputs, deadline=None)
    except Exception as error:  # a broken record can raise anything
        reason = errors.from_exception(error).message
        raise errors.invalid(
            f"warm-up record {count or 1} in {FILE}: {reason}"
        ) from error
    return count
