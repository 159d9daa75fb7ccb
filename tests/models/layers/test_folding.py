"""BN as part of the convolutions before it."""

import keras
import numpy as np
import pytest

from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.models.layers.batch_norm import BatchNorm, GatedBatchNorm
from attngan_tf.models.layers.blocks import conv
from attngan_tf.models.layers.folding import fold, fold_batch_norm
from attngan_tf.models.layers.glu import HalvedGLU


def as_if_trained(generator, rng) -> None:
    """BN statistics and factors far from those of the start."""
    for weight in generator.weights:
        if weight.name in ("moving_mean", "beta"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
        elif weight.name in ("moving_variance", "gamma"):
            weight.assign(rng.uniform(0.3, 2.0, weight.shape))


def inputs(rng) -> dict[str, np.ndarray]:
    return {
        "word_features": rng.normal(size=[3, 7, 8]).astype(np.float32),
        "sentence_features": rng.normal(size=[3, 8]).astype(np.float32),
        "lengths": np.array([7, 1, 4], np.int32),
        "z": rng.normal(size=[3, 6]).astype(np.float32),
        "eps": rng.normal(size=[3, 5]).astype(np.float32),
    }


def test_one_channel_by_hand():
    # 2 x is normalized: (2 x - 1) / 2 * 3 + 5 = 3 x + 3.5.
    kernel, bias = fold(np.array([[2.0]]), 3.0, 5.0, 1.0, 3.0, epsilon=1.0)
    np.testing.assert_allclose(kernel, [[3.0]])
    np.testing.assert_allclose(bias, 3.5)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"attention": "none"},
        {"generator": "attndcgan"},
        {"num_stages": 1, "base_size": 8},
    ],
    ids=str,
)
def test_a_folded_generator_draws_the_same(fields):
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    fields = {"num_stages": 3, "base_size": 16} | fields
    chosen = Config(gf=4, feature_size=8, z_size=6, condition_size=5, **fields)
    trained = build.generator(chosen)
    as_if_trained(trained, rng)
    folded = build.generator(chosen, folded=True)
    fold_batch_norm(trained, folded)
    assert not any("moving" in weight.name for weight in folded.weights)
    given = inputs(rng)
    expected, found = trained(given), folded(given)
    for name in expected:
        np.testing.assert_allclose(
            found[name], expected[name], atol=1e-5, err_msg=name
        )


def test_layers_tell_what_is_gated_and_not_their_names():
    rng = np.random.default_rng(5)
    picture = keras.Input([6, 6, 3])
    trained, folded = (
        keras.Sequential([picture, *layers])
        for layers in (
            [
                *(conv(8, 3), GatedBatchNorm(name="norm")),
                *(conv(4, 3), BatchNorm(name="not_gated_batch_norm")),
            ],
            [conv(8, 3, use_bias=True), HalvedGLU(), conv(4, 3, use_bias=True)],
        )
    )
    as_if_trained(trained, rng)
    fold_batch_norm(trained, folded)
    x = rng.normal(size=[2, 6, 6, 3]).astype(np.float32)
    np.testing.assert_allclose(folded(x), trained(x), atol=1e-5)


def test_networks_of_other_sizes_are_refused():
    small, large = (
        Config(gf=gf, feature_size=8, base_size=8, num_stages=2)
        for gf in (4, 8)
    )
    with pytest.raises(ValueError, match="shape"):
        fold_batch_norm(
            build.generator(small), build.generator(large, folded=True)
        )
