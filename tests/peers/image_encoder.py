# ruff: noqa: N801 - the class has its released name
"""The image encoder, in the layout of image_encoder*.pth."""

import torch.nn.functional as F
from torch import nn

from peers.inception import InceptionTrunk


class CNN_ENCODER(InceptionTrunk):
    """Inception-v3 and Eq. 6; all in one module, as the names in a file.

    Args:
      feature_size: D.
      width: see `InceptionTrunk`.
      size: side to which pictures are resized.
      align_corners: how: True as in the PyTorch of the release, False for
        half-pixel centres as today.
    """

    def __init__(
        self,
        feature_size: int = 256,
        width: float = 1.0,
        size: int = 299,
        align_corners: bool = True,
    ):
        super().__init__(width)
        self.size = size
        self.align_corners = align_corners
        self.emb_features = nn.Conv2d(
            self.region_channels, feature_size, 1, bias=False
        )
        self.emb_cnn_code = nn.Linear(self.pooled_channels, feature_size)
        nn.init.uniform_(self.emb_features.weight, -0.1, 0.1)
        nn.init.uniform_(self.emb_cnn_code.weight, -0.1, 0.1)

    def forward(self, images):
        """Pictures [B, 3, H, W] in [-1, 1] -> v [B, D, h, w], v_bar [B, D]."""
        images = F.interpolate(
            images,
            size=(self.size, self.size),
            mode="bilinear",
            align_corners=self.align_corners,
        )
        regions, pooled = self.trunk_features(images)
        return self.emb_features(regions), self.emb_cnn_code(pooled)
