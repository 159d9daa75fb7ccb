"""The discriminators against the PyTorch reference, and their options."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from attngan_tf.models import build
from attngan_tf.models.discriminator import Discriminator
from attngan_tf.pretrained import layouts
from tests.reference import networks
from tests.reference.pairing import (
    assert_close,
    channels_last,
    give,
    released,
    zero_start,
)


def make(**options) -> Discriminator:
    keras.utils.set_random_seed(5)
    settings = {"image_size": 32, "df": 2, "sentence_size": 6}
    network = Discriminator(**settings | options)
    network.build()
    return network


def inputs(size=32, B=3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "images": np.float32(rng.uniform(-1, 1, (B, size, size, 3))),
        "sentence_features": np.float32(rng.normal(size=(B, 6))),
    }


@pytest.mark.parametrize(
    ("dataset", "sizes", "dcgan"),
    [
        ("cub", networks.TINY, False),
        ("cub", networks.TINY, True),
        pytest.param("cub", networks.CUB, False, marks=pytest.mark.slow),
        pytest.param("coco", networks.COCO, False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("one_torch_thread")
def test_logits_equal_those_of_the_reference(dataset, sizes, dcgan):
    fields = {"generator": "attndcgan"} if dcgan else {}
    with torch.device("meta"):  # without PyTorch's own random start
        references = networks.discriminators(sizes, dcgan)
    with zero_start():
        ours = build.discriminators(released(dataset, sizes, **fields))
    assert list(ours) == ([256] if dcgan else [64, 128, 256])
    generator = torch.Generator().manual_seed(4)
    sentences = torch.randn(4, sizes["feature_size"], generator=generator)
    for (size, network), reference in zip(
        ours.items(), references, strict=True
    ):
        reference = reference.to_empty(device="cpu").eval()
        networks.randomize(reference.requires_grad_(False), size)
        give(layouts.discriminator(network), reference)
        images = torch.rand(4, 3, size, size, generator=generator) * 2 - 1
        found = network(
            {
                "images": channels_last(images),
                "sentence_features": sentences.numpy(),
            }
        )
        features = reference(images)
        expected = {"conditional": reference.COND_DNET(features, sentences)}
        if not dcgan:
            expected["unconditional"] = reference.unconditional(features)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert_close(found[name], value, 1e-4, name)


@pytest.mark.parametrize(
    ("size", "expected"),
    [  # side of the kernel, channels in and out; no BN in the first
        (8, [(4, 3, 16)]),
        (16, [(4, 3, 8), (4, 8, 16)]),
        (32, [(4, 3, 4), (4, 4, 8), (4, 8, 16)]),
        (512, [(4, 64, 128), (3, 128, 64), (3, 64, 32), (3, 32, 16)]),
    ],
)
def test_channels_of_sizes_that_are_not_published(size, expected):
    network = make(image_size=size)
    weights = network.backbone.weights
    kernels = [w.shape for w in weights if w.path.endswith("kernel")]
    found = [(side, n, m) for side, _, n, m in kernels]
    assert found[-len(expected) :] == expected
    norms = [w for w in weights if w.path.endswith("gamma")]
    assert len(norms) == len(kernels) - 1
    logits = network(inputs(size))
    assert {k: v.shape for k, v in logits.items()} == {
        "conditional": (3,),
        "unconditional": (3,),
    }


def test_matrices_start_orthogonal():
    kernels = [w for w in make().weights if w.path.endswith("kernel")]
    assert len(kernels) == 6
    for w in kernels:
        matrix = w.numpy().reshape(-1, w.shape[-1])
        np.testing.assert_allclose(
            matrix.T @ matrix, np.eye(w.shape[-1]), atol=1e-5, err_msg=w.path
        )


def test_parameter_counts_of_cub():
    """By the published layout: 97,596,678 weights and 20,736 statistics."""
    found = np.zeros(2, int)
    with zero_start():
        for size in (64, 128, 256):
            network = Discriminator(image_size=size)
            network.build()
            found += [
                sum(int(np.prod(w.shape)) for w in weights)
                for weights in (
                    network.trainable_variables,
                    network.non_trainable_variables,
                )
            ]
    assert found.tolist() == [97_596_678, 20_736]


def test_every_weight_gets_a_gradient_and_a_graph_equals_eager():
    network = make()
    with tf.GradientTape() as tape:
        expected = network(inputs(), training=True)
        loss = sum(tf.reduce_sum(x**2) for x in expected.values())
    gradients = tape.gradient(loss, network.trainable_variables)
    for w, g in zip(network.trainable_variables, gradients, strict=True):
        assert g is not None, w.path
        assert np.any(g), w.path
        assert np.isfinite(g).all(), w.path
    found = tf.function(network)(inputs(), training=True)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_bfloat16_gives_float32_logits_close_to_the_exact_ones():
    exact, low = make(), make(dtype="mixed_bfloat16")
    low.set_weights(exact.get_weights())
    expected, found = exact(inputs()), low(inputs())
    assert low.features(inputs()["images"]).dtype == "bfloat16"
    for name, value in found.items():
        assert value.dtype == "float32"
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], atol=0.05 * scale)


def test_features_of_several_batches_are_those_of_each_in_turn():
    rng = np.random.default_rng(0)
    batches = list(rng.uniform(-1, 1, (2, 3, 16, 16, 3)).astype(np.float32))
    in_turn, together = (make(image_size=16, df=4) for _ in range(2))
    expected = [in_turn.features(x, training=True) for x in batches]
    found = together.features_of_batches(batches, training=True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    # BN moved as well, first by the one, then by the other.
    for one, other in zip(together.weights, in_turn.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
