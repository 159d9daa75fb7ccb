"""A small SavedModel whose attention is known: a quadrant a word."""

import pathlib

import numpy as np
import tensorflow as tf

T, SIZE = 6, 32
HIGH, LOW = 0.8, 0.05
CAPTIONS = tf.TensorSpec([None], tf.string, "captions")
SEEDS = tf.TensorSpec([None], tf.int64, "seeds")


def quadrants(side: int, shift: int) -> np.ndarray:
    """[T, side, side]: word t is high in quadrant t + shift, row by row."""
    maps = np.full([T, side, side], LOW, np.float32)
    half = side // 2
    for t in range(T):
        row, column = divmod((t + shift) % 4, 2)
        maps[
            t,
            row * half : (row + 1) * half,
            column * half : (column + 1) * half,
        ] = HIGH
    return maps


class Attending(tf.Module):
    """Plain pictures, as red as their seed says, and two attention stages."""

    @tf.function(input_signature=[CAPTIONS, SEEDS])
    def generate(self, captions, seeds):
        red = tf.cast(seeds % 256, tf.uint8)[:, None, None, None]
        shape = tf.stack([tf.size(captions), SIZE, SIZE, 1])
        other = tf.fill(shape, tf.constant(90, tf.uint8))
        red = tf.broadcast_to(red, shape)
        return {"images": tf.concat([red, other, other], -1)}

    @tf.function(input_signature=[CAPTIONS, SEEDS])
    def generate_png(self, captions, seeds):
        images = self.generate(captions, seeds)["images"]
        return {"image_bytes": tf.io.encode_png(images)}

    @tf.function(input_signature=[CAPTIONS, SEEDS])
    def generate_with_attention(self, captions, seeds):
        words = tf.strings.split(captions)
        lengths = tf.clip_by_value(tf.cast(words.row_lengths(), tf.int32), 1, T)
        maps = {
            f"attention_{size}": tf.tile(
                quadrants(side, shift)[None], [tf.size(captions), 1, 1, 1]
            )
            for size, side, shift in ((16, 4, 0), (32, 8, 1))
        }
        return {
            **self.generate_png(captions, seeds),
            "tokens": words.to_tensor("", shape=[None, T]),
            "lengths": lengths,
            **maps,
        }


def write(base: pathlib.Path) -> pathlib.Path:
    """Writes version 1; returns the base."""
    model = Attending()
    names = ("generate", "generate_png", "generate_with_attention")
    signatures = {name: getattr(model, name) for name in names}
    signatures["serving_default"] = model.generate_png
    tf.saved_model.save(model, str(base / "1"), signatures)
    return base
