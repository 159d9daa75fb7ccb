"""Batch normalization fused into the convolutions before it."""

import keras
import numpy as np
import pytest

from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.models.layers.batch_norm import BatchNorm, GatedBatchNorm
from attngan_tf.models.layers.blocks import conv
from attngan_tf.models.layers.fusion import fuse_batch_norm
from attngan_tf.models.layers.glu import HalvedGLU

SIZES = {"gf": 4, "feature_size": 8, "z_size": 6, "condition_size": 5}


def randomize_batch_norm(network, rng) -> None:
    """BN statistics and factors far from those of the start."""
    for weight in network.weights:
        if weight.name in ("moving_mean", "beta"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
        elif weight.name in ("moving_variance", "gamma"):
            weight.assign(rng.uniform(0.3, 2.0, weight.shape))


@pytest.mark.parametrize("attention", ["words", "none"])
def test_fused_generator_has_the_same_outputs(attention):
    rng = np.random.default_rng(3)
    keras.utils.set_random_seed(3)
    config = Config(base_size=8, num_stages=2, attention=attention, **SIZES)
    trained = build.generator(config)
    randomize_batch_norm(trained, rng)
    fused = build.generator(config, fused=True)
    fuse_batch_norm(trained, fused)
    assert not any("moving" in weight.name for weight in fused.weights)
    shapes = {"word_features": (3, 7, 8), "sentence_features": (3, 8)}
    shapes |= {"z": (3, 6), "eps": (3, 5)}
    given = {k: np.float32(rng.normal(size=s)) for k, s in shapes.items()}
    given["lengths"] = np.array([7, 1, 4], np.int32)
    expected, found = trained(given), fused(given)
    for name in expected:
        np.testing.assert_allclose(
            found[name], expected[name], atol=1e-5, err_msg=name
        )


def test_gating_is_found_by_the_layer_and_not_by_its_name():
    rng = np.random.default_rng(5)
    inputs = keras.Input([6, 6, 3])
    trained, fused = (
        keras.Sequential([inputs, *layers])
        for layers in (
            [
                *(conv(8, 3), GatedBatchNorm(name="norm")),
                *(conv(4, 3), BatchNorm(name="not_gated_batch_norm")),
            ],
            [conv(8, 3, use_bias=True), HalvedGLU(), conv(4, 3, use_bias=True)],
        )
    )
    randomize_batch_norm(trained, rng)
    fuse_batch_norm(trained, fused)
    x = rng.normal(size=[2, 6, 6, 3]).astype(np.float32)
    np.testing.assert_allclose(fused(x), trained(x), atol=1e-5)
