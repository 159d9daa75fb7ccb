"""The text encoder of the DAMSM (paper, 3.2)."""

import keras
from keras import ops

from attngan_tf.models.attention import word_mask


class TextEncoder(keras.Model):
    """A bidirectional LSTM: features of each word and of the sentence.

    Args:
      vocabulary_size: number of words, including `<end>` (id 0).
      embedding_size: size of a word's embedding.
      feature_size: D, half of it for each direction; must be even.
      dropout: fraction of the embeddings' values that is dropped in training.
      use_cudnn: False for a graph that must also run without a GPU.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_size: int = 300,
        feature_size: int = 256,
        dropout: float = 0.5,
        use_cudnn: bool | str = "auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.feature_size = feature_size
        self.dropout = dropout
        dtype = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            embedding_size,
            embeddings_initializer=keras.initializers.RandomUniform(-0.1, 0.1),
            dtype=dtype,
        )
        self.lstm = keras.layers.Bidirectional(
            keras.layers.LSTM(
                feature_size // 2,
                return_sequences=True,
                return_state=True,
                use_cudnn=use_cudnn,
                dtype=dtype,
            ),
            dtype=dtype,
        )

    def build(self, input_shape=None):
        self.embedding.build((None, None))
        self.lstm.build((None, None, self.embedding_size))

    def call(self, token_ids, lengths, dropout_draws=None):
        """Encodes captions.

        Args:
          token_ids: int32 [B, T], zero after the caption's end.
          lengths: int32 [B], each from 1 to T.
          dropout_draws: uniform [B, T, embedding_size] in [0, 1), for
            training: single values of the embeddings, not whole words
            (released code), are dropped where it is below `dropout`. None:
            nothing is dropped.

        Returns:
          A dict: word_features float32 [B, T, D], zero at padding;
          sentence_features float32 [B, D], the last state of both directions.
        """
        real = word_mask(lengths, token_ids.shape[1])
        embedded = self.embedding(token_ids)
        if dropout_draws is not None and self.dropout:
            mask = ops.cast(dropout_draws >= self.dropout, embedded.dtype)
            embedded = embedded * mask / (1.0 - self.dropout)
        words, forward, _, backward, _ = self.lstm(embedded, mask=real)
        words = ops.cast(words, "float32")  # [B, T, D]
        sentence = ops.concatenate([forward, backward], axis=-1)
        return {
            "word_features": words * ops.cast(real, "float32")[:, :, None],
            "sentence_features": ops.cast(sentence, "float32"),
        }
