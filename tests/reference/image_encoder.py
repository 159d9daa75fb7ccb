"""Inception-v3 with torchvision's names, and the two heads of Eq. 6."""

import torch
import torch.nn.functional as F
from torch import nn

AVERAGE, MAX = "average", "max"

# A block is a list of branches, a branch a list of steps. A step is a pool, a
# convolution (name, channels, kernel[, stride]), or a tuple of convolutions
# side by side. Stride 1 keeps the size; stride 2 has no padding.


def _double(stride=1):
    return [
        ("branch3x3dbl_1", 64, 1),
        ("branch3x3dbl_2", 96, 3),
        ("branch3x3dbl_3", 96, 3, stride),
    ]


def _block_35(pool_channels):
    return [
        [("branch1x1", 64, 1)],
        [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
        _double(),
        [AVERAGE, ("branch_pool", pool_channels, 1)],
    ]


def _block_17(channels):
    row, column = (1, 7), (7, 1)
    return [
        [("branch1x1", 192, 1)],
        [
            ("branch7x7_1", channels, 1),
            ("branch7x7_2", channels, row),
            ("branch7x7_3", 192, column),
        ],
        [
            ("branch7x7dbl_1", channels, 1),
            ("branch7x7dbl_2", channels, column),
            ("branch7x7dbl_3", channels, row),
            ("branch7x7dbl_4", channels, column),
            ("branch7x7dbl_5", 192, row),
        ],
        [AVERAGE, ("branch_pool", 192, 1)],
    ]


_TO_8 = [
    [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
    [
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, 3, 2),
    ],
    [MAX],
]
_BLOCK_8 = [
    [("branch1x1", 320, 1)],
    [
        ("branch3x3_1", 384, 1),
        (("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))),
    ],
    [
        ("branch3x3dbl_1", 448, 1),
        ("branch3x3dbl_2", 384, 3),
        (("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))),
    ],
    [AVERAGE, ("branch_pool", 192, 1)],
]
_STEM = {  # name: channels, kernel, stride, padding
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
    "Mixed_6a": [[("branch3x3", 384, 3, 2)], _double(2), [MAX]],
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
    """Convolution, BN and ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches over the same maps, concatenated."""

    def __init__(self, inputs, branches):
        super().__init__()
        self.branches, self.channels = [], 0
        for branch in branches:
            channels, steps = inputs, []
            for step in branch:
                if isinstance(step, str):
                    steps.append(step)
                    continue
                parallel = step if isinstance(step[0], tuple) else [step]
                for unit in parallel:
                    self._add(channels, *unit)
                channels = sum(unit[1] for unit in parallel)
                steps.append([unit[0] for unit in parallel])
            self.branches.append(steps)
            self.channels += channels

    def _add(self, inputs, name, outputs, kernel, stride=1):
        k = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (k[0] // 2, k[1] // 2) if stride == 1 else 0
        self.add_module(name, Unit(inputs, outputs, kernel, stride, padding))

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


class ImageEncoder(nn.Module):
    """image_encoder*.pth.

    Args:
      feature_size: D.
      size: side to which images are resized, with aligned corners as in the
        PyTorch of the release.
    """

    def __init__(self, feature_size: int, size: int):
        super().__init__()
        self.size = size
        channels = 3
        for name, (wide, *rest) in _STEM.items():
            self.add_module(name, Unit(channels, wide, *rest))
            channels = wide
        for name, branches in _BLOCKS.items():
            self.add_module(name, Mixed(channels, branches))
            channels = getattr(self, name).channels
        self.emb_features = nn.Conv2d(768, feature_size, 1, bias=False)
        self.emb_cnn_code = nn.Linear(2048, feature_size)

    def forward(self, images):
        """[B, 3, H, W] in [-1, 1] -> v [B, D, h, w] and v_bar [B, D]."""
        x = F.interpolate(
            images,
            size=(self.size, self.size),
            mode="bilinear",
            align_corners=True,
        )
        for name in _STEM:
            x = getattr(self, name)(x)
            if name in _POOL_AFTER:
                x = F.max_pool2d(x, 3, stride=2)
        for name in _BLOCKS:
            x = getattr(self, name)(x)
            if name == REGION_BLOCK:
                regions = x
        return self.emb_features(regions), self.emb_cnn_code(x.mean((2, 3)))
