"""Runs a SavedModel on requests as TensorFlow Serving's loader does.

python export/session_gate.py MODEL REQUESTS ANSWERS

REQUESTS and ANSWERS are TFRecords of PredictionLog. This is a separate program
that imports nothing of the project: a Keras model in memory, or
`tf.saved_model.load`, would hide variables that the server's loader does not
find.
"""

import sys

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


def main(model: str, requests: str, answers: str) -> None:
    """Writes each request with its response."""
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
    """Runs one request and stores its outputs in the log's response."""
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
