"""Attention over words (Eq. 2) and over image regions (Eq. 7-9)."""

import keras
from keras import ops

# Finite, since a softmax over a row of -inf is NaN. For float32 only, since the
# largest float16 is 65504.
MASKED = -1e9


def word_mask(lengths, T: int):
    """Bool [B, T] from int [B] lengths: True at words, False at padding."""
    return ops.arange(T, dtype="int32") < ops.cast(lengths, "int32")[:, None]


def _words_and_bias(words, lengths):
    """Float32 words, zero at padding, and the bias of their scores.

    Padding is set to zero by `where`, not by a product, since 0 x NaN is NaN.
    """
    real = word_mask(lengths, words.shape[1])
    words = ops.where(real[:, :, None], ops.cast(words, "float32"), 0.0)
    return words, ops.where(real, 0.0, MASKED)


def word_context(queries, words, lengths):
    """Word context of each position of an image (Eq. 2).

    Args:
      queries: float [B, N, C], h: the features of N positions.
      words: float [B, T, C], the projected words e'.
      lengths: int [B], number of words without padding, at least 1.

    Returns:
      The contexts [B, N, C] in the queries' precision, and the weights
      float32 [B, N, T], which sum to 1 over the words and are 0 at padding.
    """
    words, bias = _words_and_bias(words, lengths)
    # float32, since the scores are not scaled. All of this takes 8 of a
    # generator's 170 ms at batch 8; bfloat16 would save nothing measurable.
    h = ops.cast(queries, "float32")
    scores = ops.matmul(h, ops.swapaxes(words, 1, 2)) + bias[:, None]
    weights = ops.softmax(scores, axis=-1)  # [B, N, T]
    return ops.cast(ops.matmul(weights, words), queries.dtype), weights


class WordAttention(keras.Layer):
    """F_attn: maps and words -> word contexts, and attention weights.

    Args:
      channels: GF, channels of the maps.
    """

    def __init__(self, channels: int, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, h_shape, word_features_shape):
        self.projection = keras.layers.EinsumDense(
            "btd,dc->btc",
            output_shape=(None, self.channels),
            kernel_initializer=keras.initializers.Orthogonal(),
            dtype=self.dtype_policy,
            name="projection",
        )
        self.projection.build(word_features_shape)

    def call(self, h, word_features, lengths):
        """Projects the words and attends to them.

        Args:
          h: float [B, H, W, channels].
          word_features: float [B, T, D].
          lengths: int [B], number of words without padding, at least 1.

        Returns:
          The contexts [B, H, W, channels] in h's precision, and the weights
          float32 [B, H, W, T].
        """
        _, H, W, C = h.shape
        context, weights = word_context(
            ops.reshape(h, [-1, H * W, C]),
            self.projection(word_features),
            lengths,
        )
        T = word_features.shape[1]
        return (
            ops.reshape(context, [-1, H, W, C]),
            ops.reshape(weights, [-1, H, W, T]),
        )


def region_attention(words, regions, lengths, gamma1: float):
    """Attention of words over regions, for all pairs of images and sentences.

    Eq. 7, 8 and the weights of Eq. 9, in float32.

    Args:
      words: float [S, T, D] of S sentences, e.
      regions: float [I, N, D] of I images, v.
      lengths: int [S], number of words without padding, at least 1.
      gamma1: sharpness of the attention over regions.

    Returns:
      The weights (alpha) float32 [I, S, T, N], which sum to 1 over the
      regions, and the similarities e^T v of the same shape, before Eq. 8.
      Rows of padding have equal weights and similarities of 0.
    """
    I, N, D = ops.shape(regions)
    S, T, _ = ops.shape(words)
    words, bias = _words_and_bias(words, lengths)
    regions = ops.cast(regions, "float32")
    # Regions first: a single matrix product, and the softmax of Eq. 8 is over
    # the last axis.
    similarities = ops.matmul(
        ops.reshape(regions, [-1, D]),
        ops.transpose(ops.reshape(words, [-1, D])),
    )  # [I * N, S * T]
    normalized = ops.softmax(ops.reshape(similarities, [I, N, S, T]) + bias)

    def regions_last(x):
        x = ops.swapaxes(ops.reshape(x, [I, N, S * T]), 1, 2)
        return ops.reshape(x, [I, S, T, N])

    weights = ops.softmax(gamma1 * regions_last(normalized))
    return weights, regions_last(similarities)


def context_squares(weights, regions):
    """Squared norms [I, S, T] of Eq. 9's contexts.

    Args:
      weights: float32 [I, S, T, N].
      regions: float32 [I, N, D].
    """
    I, S, T, N = ops.shape(weights)
    weights = ops.reshape(weights, [I, S * T, N])
    if regions.shape[-1] >= N:
        # |sum_j alpha_j v_j|^2 = alpha^T V V^T alpha. With N 49, D 256 and a
        # batch of 48, a DAMSM loss takes a third of the time that it takes with
        # contexts.
        products = ops.matmul(regions, ops.swapaxes(regions, 1, 2))
        squares = ops.sum(ops.matmul(weights, products) * weights, axis=-1)
    else:
        squares = ops.sum(ops.square(ops.matmul(weights, regions)), axis=-1)
    return ops.reshape(squares, [I, S, T])
