# ruff: noqa: N801 - the classes have their released names
"""The generators, in the layout of *_AttnGAN2.pth and *_AttnDCGAN2.pth."""

from typing import NamedTuple

import torch
from torch import nn

from peers.attention import WordAttention


class Generated(NamedTuple):
    """What a generator gives.

    images: [B, 3, S, S] in [-1, 1], small to large.
    attention: weights [B, T, H, W] of each attention stage.
    mu, logvar: [B, C].
    """

    images: list[torch.Tensor]
    attention: list[torch.Tensor]
    mu: torch.Tensor
    logvar: torch.Tensor


class GLU(nn.Module):
    """First half of the channels times the sigmoid of the second."""

    def forward(self, x):
        values, gates = x.chunk(2, dim=1)
        return values * torch.sigmoid(gates)


def conv3x3(channels_in: int, channels: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, without bias."""
    return nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)


def up_block(channels_in: int, channels: int) -> nn.Sequential:
    """Twice the size: nearest, convolution, BN, GLU."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        conv3x3(channels_in, 2 * channels),
        nn.BatchNorm2d(2 * channels),
        GLU(),
    )


class ResBlock(nn.Module):
    """Two convolutions around a GLU, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.block = nn.Sequential(
            conv3x3(channels, 2 * channels),
            nn.BatchNorm2d(2 * channels),
            GLU(),
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return x + self.block(x)


class CA_NET(nn.Module):
    """Conditioning augmentation; eps is drawn by the caller."""

    def __init__(self, feature_size: int, condition_size: int):
        super().__init__()
        self.fc = nn.Linear(feature_size, 4 * condition_size)
        self.glu = GLU()

    def forward(self, sentence, eps):
        """[B, D] and [B, C] -> c, mu and logvar, each [B, C]."""
        mu, logvar = self.glu(self.fc(sentence)).chunk(2, dim=1)
        return mu + torch.exp(0.5 * logvar) * eps, mu, logvar


class INIT_STAGE_G(nn.Module):
    """F0: noise and condition -> maps [B, GF, 64, 64]."""

    def __init__(self, gf: int, z_size: int, condition_size: int):
        super().__init__()
        self.channels = 16 * gf
        features = self.channels * 4 * 4 * 2
        self.fc = nn.Sequential(
            nn.Linear(condition_size + z_size, features, bias=False),
            nn.BatchNorm1d(features),
            GLU(),
        )
        self.upsample1 = up_block(16 * gf, 8 * gf)
        self.upsample2 = up_block(8 * gf, 4 * gf)
        self.upsample3 = up_block(4 * gf, 2 * gf)
        self.upsample4 = up_block(2 * gf, gf)

    def forward(self, z, condition):
        x = self.fc(torch.cat([condition, z], dim=1))
        x = x.reshape(-1, self.channels, 4, 4)
        x = self.upsample2(self.upsample1(x))
        return self.upsample4(self.upsample3(x))


class NEXT_STAGE_G(nn.Module):
    """F_i: maps and words -> maps of twice the size, and the attention."""

    def __init__(
        self, gf: int, feature_size: int, residual_blocks: int, **attention
    ):
        super().__init__()
        self.att = WordAttention(gf, feature_size, **attention)
        self.residual = nn.Sequential(
            *(ResBlock(2 * gf) for _ in range(residual_blocks))
        )
        self.upsample = up_block(2 * gf, gf)

    def forward(self, h, words, mask=None):
        context, weights = self.att(h, words, mask)
        joined = torch.cat([h, context], dim=1)
        return self.upsample(self.residual(joined)), weights


class GET_IMAGE_G(nn.Module):
    """G_i: maps -> a picture."""

    def __init__(self, gf: int):
        super().__init__()
        self.img = nn.Sequential(conv3x3(gf, 3), nn.Tanh())

    def forward(self, h):
        return self.img(h)


class G_NET(nn.Module):
    """AttnGAN's generator.

    Args:
      gf: GF.
      z_size: Z.
      condition_size: C.
      feature_size: D.
      residual_blocks: a stage.
      stages: pictures: 64, 128, 256, as many as there are stages.
      released_mask: see `attention.tiled_mask`.
    """

    def __init__(
        self,
        gf: int = 32,
        z_size: int = 100,
        condition_size: int = 100,
        feature_size: int = 256,
        residual_blocks: int = 2,
        stages: int = 3,
        released_mask: bool = True,
    ):
        super().__init__()
        self.stages = stages
        self.ca_net = CA_NET(feature_size, condition_size)
        self.h_net1 = INIT_STAGE_G(gf, z_size, condition_size)
        self._add_image(1, gf)
        for i in range(2, stages + 1):
            stage = NEXT_STAGE_G(
                gf, feature_size, residual_blocks, released_mask=released_mask
            )
            self.add_module(f"h_net{i}", stage)
            self._add_image(i, gf)

    def _add_image(self, stage, gf):
        self.add_module(f"img_net{stage}", GET_IMAGE_G(gf))

    def _image(self, stage, h):
        return [getattr(self, f"img_net{stage}")(h)]

    def forward(self, z, eps, sentence, words, mask=None) -> Generated:
        """Draws pictures (Eq. 1).

        Args:
          z: [B, Z].
          eps: [B, C], the noise of the conditioning augmentation.
          sentence: [B, D].
          words: [B, D, T].
          mask: bool [B, T], True at padding, or None.
        """
        condition, mu, logvar = self.ca_net(sentence, eps)
        h = self.h_net1(z, condition)
        images, attention = self._image(1, h), []
        for i in range(2, self.stages + 1):
            h, weights = getattr(self, f"h_net{i}")(h, words, mask)
            images += self._image(i, h)
            attention.append(weights)
        return Generated(images, attention, mu, logvar)


class G_DCGAN(G_NET):
    """AttnDCGAN's generator: no residual blocks, the last picture only."""

    def __init__(self, *args, stages: int = 3, **kwargs):
        kwargs["residual_blocks"] = 0
        super().__init__(*args, stages=stages, **kwargs)

    def _add_image(self, stage, gf):
        if stage == self.stages:
            self.img_net = GET_IMAGE_G(gf)

    def _image(self, stage, h):
        return [self.img_net(h)] if stage == self.stages else []
