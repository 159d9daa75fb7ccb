"""All networks of one training, made from a table of sizes."""

from typing import NamedTuple

import torch
from torch import nn

from peers.discriminator import D_NET64, D_NET128, D_NET256
from peers.generator import G_DCGAN, G_NET
from peers.image_encoder import CNN_ENCODER
from peers.text_encoder import RNN_ENCODER


class Networks(NamedTuple):
    """Encoders, generator, and a discriminator for each of its pictures."""

    text_encoder: RNN_ENCODER
    image_encoder: CNN_ENCODER
    generator: G_NET
    discriminators: list[D_NET64]


def text_encoder(sizes: dict) -> RNN_ENCODER:
    """The text encoder of a table of `sizes`."""
    return RNN_ENCODER(
        sizes["vocabulary_size"],
        sizes["embedding_size"],
        sizes["feature_size"],
    )


def image_encoder(sizes: dict, **options) -> CNN_ENCODER:
    """The image encoder of a table of `sizes`."""
    return CNN_ENCODER(
        sizes["feature_size"],
        sizes["trunk_width"],
        sizes["trunk_size"],
        **options,
    )


def generator(sizes: dict, dcgan: bool = False, **options) -> G_NET:
    """AttnGAN's generator of a table of `sizes`, or AttnDCGAN's."""
    arguments = {
        "gf": sizes["gf"],
        "z_size": sizes["z_size"],
        "condition_size": sizes["condition_size"],
        "feature_size": sizes["feature_size"],
    }
    if dcgan:
        return G_DCGAN(**arguments, **options)
    return G_NET(
        **arguments, residual_blocks=sizes["residual_blocks"], **options
    )


def discriminators(sizes: dict, dcgan: bool = False) -> list[D_NET64]:
    """AttnGAN's three discriminators, or AttnDCGAN's one."""
    df, D = sizes["df"], sizes["feature_size"]
    if dcgan:
        return [D_NET256(df, D, unconditional=False)]
    return [D_NET64(df, D), D_NET128(df, D), D_NET256(df, D)]


def build(
    sizes: dict,
    seed: int = 0,
    *,
    dcgan: bool = False,
    released_mask: bool = True,
    align_corners: bool = True,
) -> Networks:
    """Makes networks as at the start of GAN training.

    The encoders are fixed and in inference mode, with random weights and BN
    statistics; the others are initialized as released, in training mode.

    Args:
      sizes: such as `sizes.TINY`.
      seed: of every weight.
      dcgan: AttnDCGAN instead of AttnGAN.
      released_mask: see `attention.tiled_mask`.
      align_corners: see `CNN_ENCODER`.
    """
    networks = Networks(
        text_encoder(sizes),
        image_encoder(sizes, align_corners=align_corners),
        generator(sizes, dcgan, released_mask=released_mask),
        discriminators(sizes, dcgan),
    )
    for i, network in enumerate(
        (networks.text_encoder, networks.image_encoder)
    ):
        randomize(network, seed + i)
        network.eval().requires_grad_(False)
    for i, network in enumerate((networks.generator, *networks.discriminators)):
        initialize(network, seed + 2 + i)
    return networks


def initialize(network: nn.Module, seed: int) -> None:
    """Released start of G and D: orthogonal, BN gamma N(1, 0.02).

    Biases are zero, which the released code leaves to chance in the logits'
    convolutions.
    """
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight, generator=draw)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=draw)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def randomize(network: nn.Module, seed: int) -> None:
    """Random weights and BN statistics, none of them 0 or 1.

    Weights have the variance 2 / fan-in, so that deep maps stay of order 1;
    BN gamma and variance are U(0.5, 1.5), biases and means N(0, 0.1).
    """
    draw = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(1000)
        elif value.dim() > 1:
            fan_in = value[0].numel()
            value.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=draw)
        elif name.endswith((".weight", "running_var")):
            value.uniform_(0.5, 1.5, generator=draw)
        else:
            value.normal_(0.0, 0.1, generator=draw)
