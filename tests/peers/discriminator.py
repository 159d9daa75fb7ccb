# ruff: noqa: N801 - the classes have their released names
"""The discriminators, in the layout of netD*.pth."""

import torch
from torch import nn

SLOPE = 0.2  # of LeakyReLU


def down_block(channels_in: int, channels: int, norm: bool = True) -> list:
    """Half the size: convolution 4x4, BN, LeakyReLU; a list of layers."""
    layers = [nn.Conv2d(channels_in, channels, 4, 2, 1, bias=False)]
    if norm:
        layers.append(nn.BatchNorm2d(channels))
    return [*layers, nn.LeakyReLU(SLOPE)]


def leaky_block(channels_in: int, channels: int) -> nn.Sequential:
    """Convolution 3x3, BN, LeakyReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.LeakyReLU(SLOPE),
    )


class D_GET_LOGITS(nn.Module):
    """A code's logit; with the sentence's, if it has a size.

    The released code ends in a sigmoid, for a cross-entropy of probabilities;
    here it is part of the loss.
    """

    def __init__(self, df: int, sentence_size: int = 0):
        super().__init__()
        if sentence_size:
            self.jointConv = leaky_block(8 * df + sentence_size, 8 * df)
        self.outlogits = nn.Sequential(nn.Conv2d(8 * df, 1, 4, stride=4))

    def forward(self, code, sentence=None):
        """Codes [B, 8 DF, 4, 4] (and sentences [B, D]) -> logits [B]."""
        if sentence is not None:
            tiled = sentence[:, :, None, None].expand(-1, -1, 4, 4)
            code = self.jointConv(torch.cat([code, tiled], dim=1))
        return self.outlogits(code).reshape(-1)


class D_NET64(nn.Module):
    """The discriminator of 64 x 64; a call gives the code [B, 8 DF, 4, 4].

    Args:
      df: DF.
      feature_size: D, of the sentence.
      unconditional: whether there is an UNCOND_DNET; else it is None.
    """

    def __init__(
        self, df: int = 64, feature_size: int = 256, unconditional: bool = True
    ):
        super().__init__()
        self.img_code_s16 = nn.Sequential(
            *down_block(3, df, norm=False),
            *down_block(df, 2 * df),
            *down_block(2 * df, 4 * df),
            *down_block(4 * df, 8 * df),
        )
        self._add_code_layers(df)
        self.UNCOND_DNET = D_GET_LOGITS(df) if unconditional else None
        self.COND_DNET = D_GET_LOGITS(df, feature_size)

    def _add_code_layers(self, df):
        """Layers of larger sizes."""

    def forward(self, images):
        return self.img_code_s16(images)


class D_NET128(D_NET64):
    """The discriminator of 128 x 128."""

    def _add_code_layers(self, df):
        self.img_code_s32 = nn.Sequential(*down_block(8 * df, 16 * df))
        self.img_code_s32_1 = leaky_block(16 * df, 8 * df)

    def forward(self, images):
        return self.img_code_s32_1(self.img_code_s32(super().forward(images)))


class D_NET256(D_NET64):
    """The discriminator of 256 x 256."""

    def _add_code_layers(self, df):
        self.img_code_s32 = nn.Sequential(*down_block(8 * df, 16 * df))
        self.img_code_s64 = nn.Sequential(*down_block(16 * df, 32 * df))
        self.img_code_s64_1 = leaky_block(32 * df, 16 * df)
        self.img_code_s64_2 = leaky_block(16 * df, 8 * df)

    def forward(self, images):
        code = self.img_code_s32(super().forward(images))
        return self.img_code_s64_2(self.img_code_s64_1(self.img_code_s64(code)))
