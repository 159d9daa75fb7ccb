# ruff: noqa: N801 - the class has its released name
"""The text encoder, in the layout of text_encoder*.pth."""

import torch
from torch import nn
from torch.nn.utils import rnn


class RNN_ENCODER(nn.Module):
    """A bi-directional LSTM over packed captions.

    Args:
      vocabulary_size: V, with id 0 for padding.
      embedding_size: of a word.
      feature_size: D, both directions together.
      dropout: share of the embeddings' numbers dropped in training.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int = 300,
        feature_size: int = 256,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.encoder = nn.Embedding(vocabulary_size, embedding_size)
        self.drop = nn.Dropout(dropout)
        self.rnn = nn.LSTM(
            embedding_size,
            feature_size // 2,
            batch_first=True,
            bidirectional=True,
        )
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, token_ids: torch.Tensor, lengths: torch.Tensor):
        """Encodes captions, in any order of lengths.

        Args:
          token_ids: int64 [B, T].
          lengths: int64 [B], from 1 to T.

        Returns:
          Words [B, D, T], zero at padding, and sentences [B, D], the last
          forward state before the last backward state. The released code cuts
          the words to the longest caption; here they keep T.
        """
        embedded = self.drop(self.encoder(token_ids))  # [B, T, E]
        packed = rnn.pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        # oneDNN has no LSTM in bfloat16 for processors without it.
        lacks = not torch.ops.mkldnn._is_mkldnn_bf16_supported()
        enabled = torch.is_autocast_enabled("cpu") and not lacks
        with torch.autocast("cpu", enabled=enabled):
            states, (last, _) = self.rnn(packed)
        words, _ = rnn.pad_packed_sequence(
            states, batch_first=True, total_length=token_ids.shape[1]
        )
        sentence = torch.cat([last[0], last[1]], dim=1)
        return words.transpose(1, 2), sentence
