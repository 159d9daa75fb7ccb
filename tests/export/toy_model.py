"""A small SavedModel with the generator's signatures, and some odd ones.

Its images are 4 x 4 and made of a hash of caption and seed, by the row. The
attention of each word is high in one quadrant.
"""

import pathlib
import time

import numpy as np
import tensorflow as tf
from server_process import predict_request
from tensorflow_serving.apis import prediction_log_pb2

SIZE = 4
T = 6
HIGH, LOW = 0.8, 0.05  # attention


def _images(captions: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """uint8 [B, 4, 4, 3]."""
    keys = tf.strings.join([captions, tf.strings.as_string(seeds)], "#")
    bits = tf.strings.to_hash_bucket_strong(keys, 2**31 - 1, [1, 2])
    positions = tf.range(1, SIZE * SIZE * 3 + 1, dtype=tf.int64)
    values = (bits[:, None] * positions // 7) % 256
    return tf.cast(tf.reshape(values, [-1, SIZE, SIZE, 3]), tf.uint8)


def _quadrants(side: int, shift: int) -> np.ndarray:
    """[T, side, side]: word t is high in quadrant t + shift, row by row."""
    maps = np.full([T, side, side], LOW, np.float32)
    half = side // 2
    for t in range(T):
        row, column = np.multiply(half, divmod((t + shift) % 4, 2))
        maps[t, row : row + half, column : column + half] = HIGH
    return maps


def _spec(dtype, name: str, *shape: int) -> tf.TensorSpec:
    return tf.TensorSpec([None, *shape], dtype, name)


CAPTIONS = _spec(tf.string, "captions")
SEEDS = _spec(tf.int64, "seeds")
NUMBERS = _spec(tf.float32, "x", 3)


class Toy(tf.Module):
    """The generator's signatures, and some with numbers and failures."""

    def __init__(self, salt: str = ""):
        super().__init__()
        self.salt = tf.Variable(salt)

    @tf.function(input_signature=[CAPTIONS])
    def default(self, captions):
        seeds = tf.strings.to_hash_bucket_strong(captions, 1000, [3, 4])
        return self.generate_png(captions, seeds)

    @tf.function(input_signature=[CAPTIONS, SEEDS])
    def generate_png(self, captions, seeds):
        images = self.generate(captions, seeds)["images"]
        return {"image_bytes": tf.io.encode_png(images)}

    @tf.function(input_signature=[CAPTIONS, SEEDS])
    def generate(self, captions, seeds):
        return {"images": _images(self.salt + captions, seeds)}

    @tf.function(input_signature=[CAPTIONS, SEEDS])
    def generate_with_attention(self, captions, seeds):
        words = tf.strings.split(captions)
        rows = [tf.size(captions), 1, 1, 1]
        return {
            **self.generate_png(captions, seeds),
            "tokens": words.to_tensor("", shape=[None, T]),
            "lengths": tf.clip_by_value(words.row_lengths(), 1, T),
            "attention_16": tf.tile(_quadrants(4, 0)[None], rows),
            "attention_32": tf.tile(_quadrants(8, 1)[None], rows),
        }

    @tf.function(input_signature=[NUMBERS])
    def numbers(self, x):
        return {"inverse": 1.0 / x, "twice": x * 2}

    @tf.function(input_signature=[CAPTIONS])
    def picky(self, captions):
        good = tf.strings.regex_full_match(captions, "[^!]*")
        with tf.control_dependencies(
            [tf.debugging.Assert(tf.reduce_all(good), ["no ! please"])]
        ):
            return {"size": tf.strings.length(captions)}

    @tf.function(input_signature=[_spec(tf.float32, "seconds")])
    def slow(self, seconds):
        end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
        work = tf.while_loop(
            lambda _: tf.timestamp() < end,
            lambda x: (tf.linalg.matmul(x, x) * 0,),
            (tf.zeros([64, 64]),),
        )[0]
        return {"seconds": seconds + tf.reduce_sum(work)}


SIGNATURES = (
    "generate_png",
    "generate",
    "generate_with_attention",
    "numbers",
    "picky",
    "slow",
)


def write(base: pathlib.Path, version: int, salt: str = "") -> pathlib.Path:
    """Publishes a version as one should: written elsewhere and renamed."""
    toy = Toy(salt)
    signatures = {name: getattr(toy, name) for name in SIGNATURES}
    signatures["serving_default"] = toy.default
    target = base / str(version)
    hidden = base / f".{version}-{time.time_ns()}"
    tf.saved_model.save(toy, str(hidden), signatures)
    hidden.rename(target)
    return target


def write_warmup(version: pathlib.Path, signature: str = "") -> None:
    """Adds a warm-up record: a caption for a signature."""
    log = prediction_log_pb2.PredictionLog()
    request = predict_request("", signature, captions=["a red bird"])
    log.predict_log.request.CopyFrom(request)
    folder = version / "assets.extra"
    folder.mkdir(exist_ok=True)
    file = folder / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(log.SerializeToString())
