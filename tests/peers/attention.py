"""Attention over words (Eq. 2) and over regions (Eq. 7-9)."""

import torch
from torch import nn


def padding_mask(token_ids: torch.Tensor) -> torch.Tensor:
    """Bool [B, T] of ids [B, T]: True at padding, which is id 0."""
    return token_ids == 0


def tiled_mask(mask: torch.Tensor, queries: int, released: bool = True):
    """A mask for B * Q rows of scores, image by image.

    Args:
      mask: bool [B, T].
      queries: Q, places of one image.
      released: whether to repeat the whole mask Q times, as the released code
        does: row b * Q + q then gets the mask of sentence (b * Q + q) mod B.
        Otherwise it gets that of sentence b.

    Returns:
      Bool [B * Q, T].
    """
    if released:
        return mask.repeat(queries, 1)
    return mask.repeat_interleave(queries, dim=0)


class WordAttention(nn.Module):
    """Eq. 2; a file's `att`, whose only weight is `conv_context`.

    Args:
      channels: GF, of the maps that ask.
      feature_size: D, of the words.
      released_mask: see `tiled_mask`.
    """

    def __init__(
        self, channels: int, feature_size: int, released_mask: bool = True
    ):
        super().__init__()
        self.conv_context = nn.Conv2d(feature_size, channels, 1, bias=False)
        self.released_mask = released_mask

    def forward(self, h, words, mask=None):
        """Contexts of maps.

        Args:
          h: [B, C, H, W].
          words: [B, D, T].
          mask: bool [B, T], True at padding, or None.

        Returns:
          The contexts [B, C, H, W], and the weights [B, T, H, W].
        """
        B, C, H, W = h.shape
        T = words.shape[2]
        projected = self.conv_context(words.unsqueeze(3)).squeeze(3)  # [B,C,T]
        queries = h.flatten(2).transpose(1, 2)  # [B, Q, C]
        scores = torch.bmm(queries, projected).reshape(B * H * W, T)
        if mask is not None:
            rows = tiled_mask(mask, H * W, self.released_mask)
            scores = scores.masked_fill(rows, -torch.inf)
        weights = scores.softmax(dim=1).reshape(B, H * W, T).transpose(1, 2)
        context = torch.bmm(projected, weights)  # [B, C, Q]
        return context.reshape(B, C, H, W), weights.reshape(B, T, H, W)


def region_attention(words, regions, gamma1: float):
    """Eq. 7-9 of one sentence and all images.

    Args:
      words: [D, T], true words only.
      regions: [B, D, H, W].
      gamma1: sharpness.

    Returns:
      The contexts [B, D, T], and the weights [B, T, H * W].
    """
    regions = regions.flatten(2)  # [B, D, N]
    similarities = torch.einsum("dt,bdn->btn", words, regions)
    shares = similarities.softmax(dim=1)  # Eq. 8: over the words
    weights = (gamma1 * shares).softmax(dim=2)
    return torch.einsum("bdn,btn->bdt", regions, weights), weights
