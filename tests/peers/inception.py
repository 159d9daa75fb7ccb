"""Inception-v3 without its classifiers, with torchvision's names.

94 convolutions without bias, each with its BN (epsilon 1e-3).
"""

import torch
import torch.nn.functional as F
from torch import nn

AVERAGE, MAX = "average", "max"

# A block is a tuple of branches, a branch a tuple of steps. A step is a pool,
# a convolution (name, channels, kernel[, stride]), or a list of convolutions
# side by side. With stride 1 the size stays, with 2 nothing is padded.


def _block_35(pool_channels):
    return (
        (("branch1x1", 64, 1),),
        (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        (
            ("branch3x3dbl_1", 64, 1),
            ("branch3x3dbl_2", 96, 3),
            ("branch3x3dbl_3", 96, 3),
        ),
        (AVERAGE, ("branch_pool", pool_channels, 1)),
    )


_TO_17 = (
    (("branch3x3", 384, 3, 2),),
    (
        ("branch3x3dbl_1", 64, 1),
        ("branch3x3dbl_2", 96, 3),
        ("branch3x3dbl_3", 96, 3, 2),
    ),
    (MAX,),
)


def _block_17(channels):
    row, column = (1, 7), (7, 1)
    return (
        (("branch1x1", 192, 1),),
        (
            ("branch7x7_1", channels, 1),
            ("branch7x7_2", channels, row),
            ("branch7x7_3", 192, column),
        ),
        (
            ("branch7x7dbl_1", channels, 1),
            ("branch7x7dbl_2", channels, column),
            ("branch7x7dbl_3", channels, row),
            ("branch7x7dbl_4", channels, column),
            ("branch7x7dbl_5", 192, row),
        ),
        (AVERAGE, ("branch_pool", 192, 1)),
    )


_TO_8 = (
    (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)),
    (
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, 3, 2),
    ),
    (MAX,),
)

_BLOCK_8 = (
    (("branch1x1", 320, 1),),
    (
        ("branch3x3_1", 384, 1),
        [("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))],
    ),
    (
        ("branch3x3dbl_1", 448, 1),
        ("branch3x3dbl_2", 384, 3),
        [("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))],
    ),
    (AVERAGE, ("branch_pool", 192, 1)),
)

# name: channels, kernel, stride, padding
_STEM = {
    "Conv2d_1a_3x3": (32, 3, 2, 0),
    "Conv2d_2a_3x3": (32, 3, 1, 0),
    "Conv2d_2b_3x3": (64, 3, 1, 1),
    "Conv2d_3b_1x1": (80, 1, 1, 0),
    "Conv2d_4a_3x3": (192, 3, 1, 0),
}
_POOL_AFTER = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")
_BLOCKS = {
    "Mixed_5b": _block_35(32),
    "Mixed_5c": _block_35(64),
    "Mixed_5d": _block_35(64),
    "Mixed_6a": _TO_17,
    "Mixed_6b": _block_17(128),
    "Mixed_6c": _block_17(160),
    "Mixed_6d": _block_17(160),
    "Mixed_6e": _block_17(192),
    "Mixed_7a": _TO_8,
    "Mixed_7b": _BLOCK_8,
    "Mixed_7c": _BLOCK_8,
}
REGION_BLOCK = "Mixed_6e"


class Unit(nn.Module):
    """A convolution, BN and ReLU."""

    def __init__(self, channels_in, channels, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels, kernel, stride, padding, bias=False
        )
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches over the same maps, joined."""

    def __init__(self, channels_in, branches, width):
        super().__init__()
        self.branches = []
        self.channels = 0
        for branch in branches:
            channels, steps = channels_in, []
            for step in branch:
                if isinstance(step, str):
                    steps.append(step)
                    continue
                parallel = step if isinstance(step, list) else [step]
                channels = sum(
                    self._add(channels, width, *unit) for unit in parallel
                )
                steps.append([name for name, *_ in parallel])
            self.branches.append(steps)
            self.channels += channels

    def _add(self, channels_in, width, name, channels, kernel, stride=1):
        channels = scaled(channels, width)
        k = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (k[0] // 2, k[1] // 2) if stride == 1 else 0
        unit = Unit(channels_in, channels, kernel, stride, padding)
        self.add_module(name, unit)
        return channels

    def forward(self, x):
        return torch.cat([self._run(x, b) for b in self.branches], dim=1)

    def _run(self, x, steps):
        for step in steps:
            if step == AVERAGE:  # the padding counts as zeros
                x = F.avg_pool2d(x, 3, stride=1, padding=1)
            elif step == MAX:
                x = F.max_pool2d(x, 3, stride=2)
            else:
                x = torch.cat([getattr(self, name)(x) for name in step], dim=1)
        return x


def scaled(channels: int, width: float) -> int:
    """Channels of a trunk that is `width` times as wide; at least 1."""
    return max(1, round(channels * width))


class InceptionTrunk(nn.Module):
    """Inception-v3 up to its last average pool.

    Args:
      width: factor of all channels; 1 is the published network.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        channels = 3
        for name, (wide, *rest) in _STEM.items():
            unit = Unit(channels, scaled(wide, width), *rest)
            self.add_module(name, unit)
            channels = scaled(wide, width)
        for name, branches in _BLOCKS.items():
            block = Mixed(channels, branches, width)
            self.add_module(name, block)
            channels = block.channels
            if name == REGION_BLOCK:
                self.region_channels = channels
        self.pooled_channels = channels

    def trunk_features(self, images):
        """Features of pictures as they are, at least 75 x 75.

        Args:
          images: [B, 3, H, W] in [-1, 1].

        Returns:
          Regions [B, 768, h, w] (17 x 17 for 299 x 299), pooled [B, 2048].
        """
        x = images
        for name in _STEM:
            x = getattr(self, name)(x)
            if name in _POOL_AFTER:
                x = F.max_pool2d(x, 3, stride=2)
        for name in _BLOCKS:
            x = getattr(self, name)(x)
            if name == REGION_BLOCK:
                regions = x
        return regions, x.mean(dim=(2, 3))
