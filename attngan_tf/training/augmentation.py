"""Augmentation of the images that discriminators read, real and generated.

DiffAugment (Zhao et al. 2020): differentiable translation and cutout prevent a
discriminator from memorizing a small data set. The paper's colour changes are
left out, since captions describe colours.
"""

import tensorflow as tf

NUMBERS = 4  # random numbers that augment one image


def augment(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Translates each image, and sets a square of it to 0.

    Args:
      images: float32 [B, S, S, 3] in [-1, 1].
      numbers: float32 [B, 4], uniform in [0, 1).

    Returns:
      float32 [B, S, S, 3] in [-1, 1].
    """
    numbers = tf.split(numbers[:, :, None, None], NUMBERS, axis=1)
    down, right, top, left = numbers  # each [B, 1, 1, 1]
    return _cut_out(_translate(images, down, right), top, left)


def _translate(images, down, right):
    """Shifts by up to an eighth of the side; the border is filled with 0."""
    S = images.shape[1]
    limit = max(1, S // 8)
    offsets = tf.concat([down, right], axis=1)[:, :, 0, 0]  # [B, 2]
    # int64, since TensorFlow computes with int32 on the CPU even for a GPU.
    offsets = tf.cast(tf.floor(offsets * (2 * limit + 1)), tf.int64) - limit
    positions = tf.range(S, dtype=tf.int64)[None, :]
    rows = positions - offsets[:, :1]  # [B, S]
    columns = positions - offsets[:, 1:]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    rows = tf.clip_by_value(rows + 1, 0, S + 1)
    columns = tf.clip_by_value(columns + 1, 0, S + 1)
    shifted = tf.gather(padded, rows, axis=1, batch_dims=1)
    transposed = tf.transpose(shifted, [0, 2, 1, 3])  # [B, columns, rows, 3]
    transposed = tf.gather(transposed, columns, axis=1, batch_dims=1)
    return tf.transpose(transposed, [0, 2, 1, 3])


def _cut_out(images, top, left):
    """Sets a square of half the side to 0."""
    S = images.shape[1]
    half = S // 2
    positions = tf.range(S, dtype=tf.float32)
    centre_row = tf.floor(top * S)[:, 0, 0]  # [B, 1]
    centre_column = tf.floor(left * S)[:, 0, 0]
    rows = tf.abs(positions[None] - centre_row) < half / 2
    columns = tf.abs(positions[None] - centre_column) < half / 2
    hole = tf.logical_and(rows[:, :, None], columns[:, None, :])
    return tf.where(hole[..., None], 0.0, images)
