"""The networks, with the names of the published state dicts."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils import rnn

from tests.reference.image_encoder import ImageEncoder

# Sizes of the published networks, and of tiny ones for quick tests.
CUB = {"gf": 32, "df": 64, "residual_blocks": 2, "vocabulary_size": 5450}
CUB |= {"z_size": 100, "condition_size": 100, "feature_size": 256}
CUB |= {"embedding_size": 300, "image_encoder_size": 299}
COCO = CUB | {"gf": 48, "df": 96, "residual_blocks": 3}
COCO |= {"vocabulary_size": 27297}
TINY = {"gf": 4, "df": 4, "residual_blocks": 1, "vocabulary_size": 20}
TINY |= {"z_size": 8, "condition_size": 6, "feature_size": 16}
TINY |= {"embedding_size": 8, "image_encoder_size": 299}


class TextEncoder(nn.Module):
    """A bidirectional LSTM over packed captions; text_encoder*.pth."""

    def __init__(self, sizes: dict):
        super().__init__()
        E, D = sizes["embedding_size"], sizes["feature_size"]
        self.encoder = nn.Embedding(sizes["vocabulary_size"], E)
        self.rnn = nn.LSTM(E, D // 2, batch_first=True, bidirectional=True)

    def forward(self, token_ids, lengths, dropout_factors=1.0):
        """Encodes captions.

        Args:
          token_ids: int64 [B, T].
          lengths: int64 [B], in any order.
          dropout_factors: [B, T, E], multiplied with the embeddings.

        Returns:
          Words [B, D, T], zero at padding, and sentences [B, D].
        """
        embedded = self.encoder(token_ids) * dropout_factors
        packed = rnn.pack_padded_sequence(
            embedded, lengths, batch_first=True, enforce_sorted=False
        )
        # oneDNN has no bfloat16 LSTM for processors without bfloat16.
        lacks = not torch.ops.mkldnn._is_mkldnn_bf16_supported()
        enabled = torch.is_autocast_enabled("cpu") and not lacks
        with torch.autocast("cpu", enabled=enabled):
            states, (last, _) = self.rnn(packed)
        words, _ = rnn.pad_packed_sequence(
            states, batch_first=True, total_length=token_ids.shape[1]
        )
        return words.transpose(1, 2), torch.cat([last[0], last[1]], dim=1)


class GLU(nn.Module):
    """The first half of the channels times the sigmoid of the second half."""

    def forward(self, x):
        values, gates = x.chunk(2, dim=1)
        return values * torch.sigmoid(gates)


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, without bias."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def up_block(inputs: int, outputs: int) -> nn.Sequential:
    """Nearest-neighbour upsampling, convolution, BN, GLU."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        conv3x3(inputs, 2 * outputs),
        nn.BatchNorm2d(2 * outputs),
        GLU(),
    )


class ResidualBlock(nn.Module):
    """x plus convolution, BN, GLU, convolution, BN of x."""

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


class WordAttention(nn.Module):
    """Eq. 2, with padding masked correctly (the released mask is not)."""

    def __init__(self, channels: int, feature_size: int):
        super().__init__()
        self.conv_context = nn.Conv2d(feature_size, channels, 1, bias=False)

    def forward(self, h, words, mask):
        """Attends to words.

        Args:
          h: [B, C, H, W].
          words: [B, D, T].
          mask: bool [B, T], True at padding.

        Returns:
          The contexts [B, C, H, W] and the weights [B, T, H, W].
        """
        projected = self.conv_context(words.unsqueeze(3)).squeeze(3)
        scores = torch.einsum("bchw,bct->bthw", h, projected)
        scores = scores.masked_fill(mask[:, :, None, None], -torch.inf)
        weights = scores.softmax(dim=1)
        return torch.einsum("bct,bthw->bchw", projected, weights), weights


class ConditioningAugmentation(nn.Module):
    """Fca; eps is given by the caller."""

    def __init__(self, feature_size: int, condition_size: int):
        super().__init__()
        self.fc = nn.Linear(feature_size, 4 * condition_size)
        self.glu = GLU()

    def forward(self, sentence, eps):
        """[B, D] and [B, C] -> c, mu and logvar, each [B, C]."""
        mu, logvar = self.glu(self.fc(sentence)).chunk(2, dim=1)
        return mu + torch.exp(0.5 * logvar) * eps, mu, logvar


class FirstStage(nn.Module):
    """F0: noise and condition -> [B, GF, 64, 64]."""

    def __init__(self, gf: int, z_size: int, condition_size: int):
        super().__init__()
        units = 16 * gf * 4 * 4 * 2
        self.fc = nn.Sequential(
            nn.Linear(condition_size + z_size, units, bias=False),
            nn.BatchNorm1d(units),
            GLU(),
        )
        for i in (1, 2, 3, 4):
            channels = 16 * gf // 2**i
            setattr(self, f"upsample{i}", up_block(2 * channels, channels))

    def forward(self, z, condition):
        x = self.fc(torch.cat([condition, z], dim=1))
        x = x.reshape(len(x), -1, 4, 4)
        for i in (1, 2, 3, 4):
            x = getattr(self, f"upsample{i}")(x)
        return x


class NextStage(nn.Module):
    """F_i: maps and words -> maps of twice the size, and the attention."""

    def __init__(self, gf: int, feature_size: int, residual_blocks: int):
        super().__init__()
        self.att = WordAttention(gf, feature_size)
        blocks = (ResidualBlock(2 * gf) for _ in range(residual_blocks))
        self.residual = nn.Sequential(*blocks)
        self.upsample = up_block(2 * gf, gf)

    def forward(self, h, words, mask):
        context, weights = self.att(h, words, mask)
        joined = torch.cat([h, context], dim=1)
        return self.upsample(self.residual(joined)), weights


class ImageHead(nn.Module):
    """G_i: maps -> images in [-1, 1]."""

    def __init__(self, gf: int):
        super().__init__()
        self.img = nn.Sequential(conv3x3(gf, 3), nn.Tanh())

    def forward(self, h):
        return self.img(h)


class Generated(NamedTuple):
    """Outputs of the generator.

    Attributes:
      images: [B, 3, S, S], small to large.
      attention: weights [B, T, H, W] of each attention stage.
      mu: [B, C].
      logvar: [B, C].
    """

    images: list[torch.Tensor]
    attention: list[torch.Tensor]
    mu: torch.Tensor
    logvar: torch.Tensor


class Generator(nn.Module):
    """AttnGAN's generator, or AttnDCGAN's; *_Attn*GAN2.pth.

    AttnDCGAN has no residual blocks and generates the last image only.
    """

    def __init__(self, sizes: dict, dcgan: bool = False):
        super().__init__()
        gf, D, C = (sizes[k] for k in ("gf", "feature_size", "condition_size"))
        blocks = 0 if dcgan else sizes["residual_blocks"]
        self.ca_net = ConditioningAugmentation(D, C)
        self.h_net1 = FirstStage(gf, sizes["z_size"], C)
        self.h_net2 = NextStage(gf, D, blocks)
        self.h_net3 = NextStage(gf, D, blocks)
        for name in ("img_net",) if dcgan else self.HEADS:
            setattr(self, name, ImageHead(gf))

    HEADS = ("img_net1", "img_net2", "img_net3")

    def forward(self, z, eps, sentence, words, mask) -> Generated:
        """Eq. 1, from z [B, Z], eps [B, C], [B, D], [B, D, T], [B, T]."""
        condition, mu, logvar = self.ca_net(sentence, eps)
        maps, attention = [self.h_net1(z, condition)], []
        for stage in (self.h_net2, self.h_net3):
            h, weights = stage(maps[-1], words, mask)
            maps.append(h)
            attention.append(weights)
        if hasattr(self, "img_net"):
            images = [self.img_net(maps[-1])]
        else:
            images = [
                getattr(self, name)(h)
                for name, h in zip(self.HEADS, maps, strict=True)
            ]
        return Generated(images, attention, mu, logvar)


def down_block(inputs: int, outputs: int, norm: bool = True) -> list:
    """Convolution 4x4 with stride 2, BN, LeakyReLU; a list of layers."""
    layers = [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    return [*layers, nn.LeakyReLU(0.2)]


def leaky_block(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution 3x3, BN, LeakyReLU."""
    layers = [conv3x3(inputs, outputs), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2))


class Logits(nn.Module):
    """Logits of features, alone or with sentences.

    The released code's sigmoid is part of the loss here.
    """

    def __init__(self, df: int, sentence_size: int = 0):
        super().__init__()
        if sentence_size:
            self.jointConv = leaky_block(8 * df + sentence_size, 8 * df)
        self.outlogits = nn.Sequential(nn.Conv2d(8 * df, 1, 4, stride=4))

    def forward(self, features, sentence=None):
        """[B, 8 DF, 4, 4] (and [B, D]) -> [B]."""
        if sentence is not None:
            tiled = sentence[:, :, None, None].expand(-1, -1, 4, 4)
            features = self.jointConv(torch.cat([features, tiled], dim=1))
        return self.outlogits(features).reshape(-1)


class Discriminator(nn.Module):
    """The discriminator of 64, 128 or 256 pixels; netD*.pth.

    A call returns features [B, 8 DF, 4, 4]. AttnDCGAN's has no UNCOND_DNET.
    """

    def __init__(self, sizes: dict, image_size: int, dcgan: bool = False):
        super().__init__()
        df = sizes["df"]
        self.img_code_s16 = nn.Sequential(
            *down_block(3, df, norm=False),
            *down_block(df, 2 * df),
            *down_block(2 * df, 4 * df),
            *down_block(4 * df, 8 * df),
        )
        if image_size > 64:
            self.img_code_s32 = nn.Sequential(*down_block(8 * df, 16 * df))
        if image_size == 128:
            self.img_code_s32_1 = leaky_block(16 * df, 8 * df)
        if image_size == 256:
            self.img_code_s64 = nn.Sequential(*down_block(16 * df, 32 * df))
            self.img_code_s64_1 = leaky_block(32 * df, 16 * df)
            self.img_code_s64_2 = leaky_block(16 * df, 8 * df)
        self.UNCOND_DNET = None if dcgan else Logits(df)
        self.COND_DNET = Logits(df, sizes["feature_size"])

    def forward(self, images):
        for name, layer in self.named_children():
            if name.startswith("img_code"):
                images = layer(images)
        return images

    def unconditional(self, features):
        """Logits [B], or None."""
        return self.UNCOND_DNET(features) if self.UNCOND_DNET else None


class Networks(NamedTuple):
    """All networks of one training."""

    text_encoder: TextEncoder
    image_encoder: ImageEncoder
    generator: Generator
    discriminators: list[Discriminator]


def discriminators(sizes: dict, dcgan: bool = False) -> list[Discriminator]:
    """AttnGAN's three discriminators, or AttnDCGAN's one."""
    image_sizes = (256,) if dcgan else (64, 128, 256)
    return [Discriminator(sizes, size, dcgan) for size in image_sizes]


def build(sizes: dict, dcgan: bool = False) -> Networks:
    """Networks as at the start of GAN training, the encoders fixed."""
    networks = Networks(
        TextEncoder(sizes),
        ImageEncoder(sizes["feature_size"], sizes["image_encoder_size"]),
        Generator(sizes, dcgan),
        discriminators(sizes, dcgan),
    )
    for seed, network in enumerate(networks[:2]):
        randomize(network, seed)
        network.eval().requires_grad_(False)
    for i, network in enumerate((networks.generator, *networks.discriminators)):
        initialize(network, 2 + i)
    return networks


def initialize(network: nn.Module, seed: int) -> None:
    """Released start of G and D: orthogonal, BN gamma N(1, 0.02)."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight, generator=generator)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def randomize(network: nn.Module, seed: int) -> None:
    """Random weights and BN statistics, none of them 0 or 1.

    Weights have the variance 2 / fan-in, so that deep maps stay of order 1.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(1000)
        elif value.dim() > 1:
            deviation = (2.0 / value[0].numel()) ** 0.5
            value.normal_(0.0, deviation, generator=generator)
        elif name.endswith((".weight", "running_var")):
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            value.normal_(0.0, 0.1, generator=generator)
