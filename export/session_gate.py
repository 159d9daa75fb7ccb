"""Answers requests with a SavedModel as TensorFlow Serving's loader does.

python export/session_gate.py MODEL REQUESTS ANSWERS

A program of its own: it imports nothing of this project, for a Keras model
that is still in memory, or `tf.saved_model.load`, hides variables that the
server's loader does not find.

REQUESTS and ANSWERS are TFRecords of PredictionLog.
"""

import sys

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


def main(model: str, requests: str, answers: str) -> None:
    """Fills in the response of each request."""
    graph = tf.Graph()
    with (
        tf.compat.v1.Session(graph=graph) as session,
        tf.io.TFRecordWriter(answers) as file,
    ):
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], model)
        for record in tf.compat.v1.io.tf_record_iterator(requests):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            answer(session, loaded.signature_def, log.predict_log)
            file.write(log.SerializeToString())


def answer(session, signatures, log) -> None:
    """Runs one request and keeps its outputs in the log."""
    signature = signatures[log.request.model_spec.signature_name]
    feeds = {
        signature.inputs[name].name: tf.make_ndarray(value)
        for name, value in log.request.inputs.items()
    }
    fetches = {name: info.name for name, info in signature.outputs.items()}
    for name, value in session.run(fetches, feeds).items():
        log.response.outputs[name].CopyFrom(tf.make_tensor_proto(value))


if __name__ == "__main__":
    main(*sys.argv[1:])
