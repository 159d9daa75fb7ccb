"""Sampling of noise, and conversion of images to 8 bits."""

import tensorflow as tf


def noise(seeds: tf.Tensor, *sizes: int) -> list[tf.Tensor]:
    """Standard normal noise, float32 [B, size] for each size.

    A row depends on its seed alone; the seeds are int64 [B].
    """

    def rows(seed):
        return [
            tf.random.stateless_normal(
                [size], tf.stack([seed, kind]), alg="philox"
            )
            for kind, size in enumerate(sizes)
        ]

    specs = [tf.TensorSpec([size], tf.float32) for size in sizes]
    return tf.map_fn(rows, seeds, fn_output_signature=specs)


def slerp(first: tf.Tensor, last: tf.Tensor, fraction: tf.Tensor) -> tf.Tensor:
    """Spherical interpolation of two noise vectors float32 [Z].

    Vectors on the straight line between them are shorter than any noise that
    the generator was trained on (White 2016, arXiv:1609.04468). Fraction 0
    returns the first vector exactly, 1 the last. Parallel vectors are
    interpolated linearly.
    """
    lengths = tf.norm(first) * tf.norm(last)
    cosine = tf.math.divide_no_nan(tf.reduce_sum(first * last), lengths)
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    sine = tf.sin(angle)
    straight = sine < 1e-3  # the quotients below would be mostly rounding
    sine = tf.where(straight, 1.0, sine)
    a = tf.where(straight, 1 - fraction, tf.sin((1 - fraction) * angle) / sine)
    b = tf.where(straight, fraction, tf.sin(fraction * angle) / sine)
    return a * first + b * last


def caption_seeds(captions: tf.Tensor) -> tf.Tensor:
    """A seed int64 [B] for each caption: the same caption, the same seed."""
    return tf.strings.to_hash_bucket_fast(captions, 2**31 - 1)


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float32 [..., 3] in [-1, 1] -> uint8, rounded to the nearest level."""
    scaled = tf.round((images + 1.0) * 127.5)
    return tf.cast(tf.clip_by_value(scaled, 0.0, 255.0), tf.uint8)
