"""Augmentation of what discriminators see, real and generated alike.

DiffAugment (Zhao et al. 2020): translation and cut-out, both differentiable,
keep a discriminator from learning a small data set by heart. Its changes of
colour are left out: colours are what captions ask for.
"""

import tensorflow as tf

DRAWS = 4  # uniform numbers that one picture's augmentation takes


def augment(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Shifts and cuts pictures.

    Args:
      images: float32 [B, S, S, 3] in [-1, 1].
      draws: float32 [B, 4], uniform in [0, 1).

    Returns:
      float32 [B, S, S, 3] in [-1, 1].
    """
    draws = tf.split(draws[:, :, None, None], DRAWS, axis=1)  # [B, 1, 1, 1]
    images = _translate(images, *draws[:2])
    return _cut(images, *draws[2:])


def _translate(images, down, right):
    """Shifts by up to an eighth of the side; zeros come in."""
    S = images.shape[1]
    most = max(1, S // 8)
    offsets = tf.concat([down, right], axis=1)[:, :, 0, 0]  # [B, 2]
    # int64, for a GPU leaves the arithmetic of int32 to the CPU.
    offsets = tf.cast(tf.floor(offsets * (2 * most + 1)), tf.int64) - most
    places = tf.range(S, dtype=tf.int64)[None, :]
    rows = places - offsets[:, :1]  # [B, S]
    columns = places - offsets[:, 1:]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    rows = tf.clip_by_value(rows + 1, 0, S + 1)
    columns = tf.clip_by_value(columns + 1, 0, S + 1)
    shifted = tf.gather(padded, rows, axis=1, batch_dims=1)
    turned = tf.transpose(shifted, [0, 2, 1, 3])  # [B, columns, rows, 3]
    turned = tf.gather(turned, columns, axis=1, batch_dims=1)
    return tf.transpose(turned, [0, 2, 1, 3])


def _cut(images, top, left):
    """Puts zeros into a square of half the side."""
    S = images.shape[1]
    half = S // 2
    places = tf.range(S, dtype=tf.float32)
    centre_row = tf.floor(top * S)[:, 0, 0]  # [B, 1]
    centre_column = tf.floor(left * S)[:, 0, 0]
    rows = tf.abs(places[None] - centre_row) < half / 2
    columns = tf.abs(places[None] - centre_column) < half / 2
    hole = tf.logical_and(rows[:, :, None], columns[:, None, :])
    return tf.where(hole[..., None], 0.0, images)
