"""Example requests for an exported model, and files that hold them.

The format is that of TensorFlow Serving: a TFRecord of PredictionLog.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from export.signatures import Signature

WARM_UP_CAPTIONS = ["a small red bird with a white belly"]
# Compared before an export is published: a plain caption, no words, no known
# words, other scripts, and more words than any model uses.
CHECK_CAPTIONS = [
    *WARM_UP_CAPTIONS,
    "",
    "zxqv!",
    "\u4e00\u53ea\u7ea2\u9e1f \U0001f426 a blue bird",
    "this bird is black and white with yellow wings and a long beak " * 9,
]

Inputs = dict[str, np.ndarray]


def example_inputs(
    signatures: Mapping[str, Signature], captions: Sequence[str]
) -> dict[str, Inputs]:
    """Inputs for each signature, one row per caption; always the same."""
    return {
        name: {spec.name: _values(spec, captions) for spec in signature.inputs}
        for name, signature in signatures.items()
    }


def _values(spec: tf.TensorSpec, captions: Sequence[str]) -> np.ndarray:
    count = len(captions)
    if spec.name == "captions":
        return np.array([text.encode() for text in captions], object)
    if spec.name == "image_bytes":
        return np.array([_image(seed) for seed in range(count)], object)
    if spec.dtype == tf.int64:
        return np.arange(count, dtype=np.int64)
    rng = np.random.default_rng(0)
    return rng.standard_normal([count, *spec.shape[1:]], np.float32)


def _image(seed: int) -> bytes:
    """A PNG image of coloured squares, wider than high."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, 256, [4, 6, 3], np.uint8)
    file = io.BytesIO()
    Image.fromarray(squares).resize([96, 64]).save(file, "PNG")
    return file.getvalue()


def write_requests(path: str, inputs: Mapping[str, Inputs]) -> None:
    """Writes one record per signature."""
    with tf.io.TFRecordWriter(path) as file:
        for name, values in inputs.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = name
            for key, value in values.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            file.write(log.SerializeToString())


def read_answers(path: str) -> dict[str, Inputs]:
    """Reads the outputs by signature that `session_gate` wrote."""
    answers = {}
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        name = log.predict_log.request.model_spec.signature_name
        answers[name] = {
            key: tf.make_ndarray(value)
            for key, value in log.predict_log.response.outputs.items()
        }
    return answers
