"""Networks here and their peers: the same weights, the same inputs."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from absl import flags
from keras import ops
from peers import files

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.pretrained import layouts

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
ROUNDNESS = 0.1  # about the width of a rounded corner
_NO_FIELDS = ("trunk_size", "trunk_width", "vocabulary_size")


def released(dataset: str, sizes: dict, **fields: Any) -> Config:
    """What configs/<dataset>_released.flags asks for, of other sizes.

    Args:
      dataset: "cub" or "coco".
      sizes: such as `peers.sizes.TINY`.
      fields: win over both.
    """
    values = flags.FlagValues()
    command.define_config_flags(values)
    values(["", f"--flagfile={CONFIGS / dataset}_released.flags"])
    own = {k: v for k, v in sizes.items() if k not in _NO_FIELDS}
    own["image_encoder_size"] = sizes["trunk_size"]
    config = command.config_from_flags(values)
    return dataclasses.replace(config, **(own | fields))


@contextlib.contextmanager
def zero_start() -> Iterator[None]:
    """Zeros for orthogonal weights, which take a minute at CUB's sizes.

    A weight that is not loaded afterwards then gives a network away.
    """

    def zeros(self, shape, dtype=None):
        return ops.zeros(shape, dtype or "float32")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.Orthogonal, "__call__", zeros)
        yield


@contextlib.contextmanager
def rounded_corners() -> Iterator[None]:
    """ReLU and LeakyReLU without corners, average pools for max pools.

    Here and in the peers. At a corner, what a rounding does to a gradient is
    as large as the gradient: see test_training_parity.py.
    """

    def relu(x):
        return ops.softplus(x / ROUNDNESS) * ROUNDNESS

    def leaky_relu(layer, x):
        slope = layer.negative_slope
        return slope * x + (1 - slope) * relu(x)

    def pool(layer, x):
        return ops.average_pool(x, layer.pool_size, layer.strides)

    F = torch.nn.functional

    def peer_relu(x):
        return F.softplus(x, beta=1 / ROUNDNESS)

    def peer_leaky_relu(x, slope, inplace):
        return slope * x + (1 - slope) * peer_relu(x)

    layers = keras.layers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers.Activation, "call", lambda layer, x: relu(x))
        patch.setattr(layers.LeakyReLU, "call", leaky_relu)
        patch.setattr(layers.MaxPooling2D, "call", pool)
        patch.setattr(F, "relu", peer_relu)
        patch.setattr(F, "leaky_relu", peer_leaky_relu)
        patch.setattr(F, "max_pool2d", F.avg_pool2d)
        yield


def give(parts: list[layouts.Part], peer: torch.nn.Module) -> None:
    """Gives the network of a layout the weights of its peer."""
    layouts.load(parts, arrays(files.state(peer)), type(peer).__name__)


def arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Copies, which later steps leave as they are."""
    return {name: x.detach().numpy().copy() for name, x in tensors.items()}


def channels_last(maps: torch.Tensor) -> np.ndarray:
    """[B, C, H, W] -> [B, H, W, C]."""
    return np.ascontiguousarray(maps.detach().numpy().transpose(0, 2, 3, 1))


def rows(features: torch.Tensor) -> np.ndarray:
    """Words [B, D, T] or regions [B, D, h, w] -> [B, T or h * w, D]."""
    flat = features.detach().flatten(2).numpy()
    return np.ascontiguousarray(flat.transpose(0, 2, 1))


def close(ours, theirs: np.ndarray | torch.Tensor, most: float) -> None:
    """Asserts the same shape, and no number further away than `most`."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=most, strict=True)


def difference(ours, theirs) -> float:
    """The norm of the difference, relative to the norm of theirs."""
    ours, theirs = (np.asarray(x, np.float64) for x in (ours, theirs))
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
