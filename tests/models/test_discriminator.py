"""Discriminators: sizes, counts, logits, and one size against numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models.discriminator import Discriminator


def make(**options) -> Discriminator:
    keras.utils.set_random_seed(5)
    settings = {"image_size": 32, "df": 2, "sentence_size": 6}
    network = Discriminator(**settings | options)
    network.build()
    return network


def inputs(size=32, B=3, seed=1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (B, size, size, 3))
    return {
        "images": images.astype(np.float32),
        "sentence_features": rng.normal(size=(B, 6)).astype(np.float32),
    }


@pytest.fixture
def cheap_start(monkeypatch):
    """Orthogonal matrices of full size take seconds; counts need none."""

    def zeros(self, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.Orthogonal, "__call__", zeros)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128, 256])
def test_every_size_ends_in_a_code_of_4_x_4(size):
    network = make(image_size=size)
    before = len(network.weights)
    found = network(inputs(size))
    assert len(network.weights) == before  # all made before the first call
    assert network.code(inputs(size)["images"]).shape == (3, 4, 4, 16)
    assert {name: value.shape for name, value in found.items()} == {
        "conditional": (3,),
        "unconditional": (3,),
    }


@pytest.mark.parametrize(
    ("size", "expected"),
    [  # side of the kernel, channels in and out; no BN at the first
        (8, [(4, 3, 16)]),
        (16, [(4, 3, 8), (4, 8, 16)]),
        (32, [(4, 3, 4), (4, 4, 8), (4, 8, 16)]),
        (64, [(4, 3, 2), (4, 2, 4), (4, 4, 8), (4, 8, 16)]),
        (128, [(4, 8, 16), (4, 16, 32), (3, 32, 16)]),
        (256, [(4, 16, 32), (4, 32, 64), (3, 64, 32), (3, 32, 16)]),
    ],
)
def test_channels_of_every_size(size, expected):
    network = make(image_size=size)
    kernels = [
        w.shape for w in network.trunk.weights if w.path.endswith("kernel")
    ]
    found = [(side, n, m) for side, _, n, m in kernels]
    assert found[-len(expected) :] == expected
    norms = [w for w in network.trunk.weights if w.path.endswith("gamma")]
    assert len(norms) == len(kernels) - 1


def test_all_matrices_start_orthogonal():
    kernels = [w for w in make().weights if w.path.endswith("kernel")]
    assert len(kernels) == 6
    for w in kernels:
        matrix = w.numpy().reshape(-1, w.shape[-1])
        np.testing.assert_allclose(
            matrix.T @ matrix, np.eye(w.shape[-1]), atol=1e-5, err_msg=w.path
        )


def arithmetic(size: int) -> tuple[int, int]:
    """Parameters and BN statistics of a discriminator of DF 64, D 256.

    The channels are written down from the paper's description.
    """
    trunk = [(4, 3, 64), (4, 64, 128), (4, 128, 256), (4, 256, 512)]
    if size == 128:
        trunk += [(4, 512, 1024), (3, 1024, 512)]
    if size == 256:
        trunk += [(4, 512, 1024), (4, 1024, 2048)]
        trunk += [(3, 2048, 1024), (3, 1024, 512)]
    blocks = [*trunk, (3, 512 + 256, 512)]  # the joint one comes last
    convolutions = sum(k * k * n * m for k, n, m in blocks)
    normalized = sum(m for _, _, m in blocks[1:])
    logits = 2 * (4 * 4 * 512 + 1)
    return convolutions + 2 * normalized + logits, 2 * normalized


@pytest.mark.usefixtures("cheap_start")
def test_parameters_of_cub_are_those_of_the_arithmetic():
    totals = np.zeros(2, int)
    for size in (64, 128, 256):
        network = Discriminator(image_size=size)
        network.build()
        found = [
            sum(int(np.prod(w.shape)) for w in weights)
            for weights in (
                network.trainable_variables,
                network.non_trainable_variables,
            )
        ]
        assert tuple(found) == arithmetic(size)
        totals += found
    assert totals.tolist() == [97_596_678, 20_736]
    assert totals.sum() == 97_617_414


def test_all_of_a_small_one_is_the_numpy_one():
    network = make(image_size=8, df=1)
    rng = np.random.default_rng(2)
    for w in network.weights:
        low, high = (0.5, 1.5) if "variance" in w.path else (-0.5, 0.5)
        w.assign(rng.uniform(low, high, w.shape))
    given = inputs(8)
    trunk, joint, to_word, to_real = (
        [w.numpy().astype(np.float64) for w in part.weights]
        for part in (
            network.trunk,
            network.joint,
            network.conditional_head,
            network.unconditional_head,
        )
    )
    code = leaky(convolve(given["images"], trunk[0], stride=2))
    sentence = given["sentence_features"][:, None, None]
    tiled = np.broadcast_to(sentence, (3, 4, 4, 6))
    y = convolve(np.concatenate([code, tiled], axis=-1), joint[0])
    gamma, beta, mean, variance = joint[1:]
    y = leaky(gamma * (y - mean) / np.sqrt(variance + 1e-5) + beta)
    found = network(given)
    for name, maps, (kernel, bias) in (
        ("conditional", y, to_word),
        ("unconditional", code, to_real),
    ):
        expected = np.einsum("bijc,ijcd->b", maps, kernel) + bias
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4)


def convolve(x, kernel, stride=1):
    """With one zero on every side, as in PyTorch."""
    k = kernel.shape[0]
    x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))
    windows = windows[:, ::stride, ::stride]
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def test_attndcgan_judges_no_picture_alone():
    network = make(unconditional=False)
    assert set(network(inputs())) == {"conditional"}
    code = network.code(inputs()["images"])
    assert network.unconditional_logits(code) is None
    # A logit's kernel and bias fewer.
    assert len(make().weights) - len(network.weights) == 2


def test_pictures_and_sentences_matter_where_they_should():
    network, given = make(), inputs()
    before = network(given)
    other = given | {"sentence_features": given["sentence_features"] + 1}
    after = network(other)
    np.testing.assert_array_equal(
        before["unconditional"], after["unconditional"]
    )
    assert np.abs(before["conditional"] - after["conditional"]).min() > 1e-3
    brighter = network(given | {"images": given["images"] + 0.5})
    for name, value in before.items():
        assert np.abs(value - brighter[name]).min() > 1e-3


def test_a_row_does_not_depend_on_the_others():
    network, given = make(), inputs()
    together = network(given)
    for b in range(3):
        alone = network({k: v[b : b + 1] for k, v in given.items()})
        for name, value in alone.items():
            np.testing.assert_allclose(value[0], together[name][b], atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_a_graph_gives_what_eager_gives(training):
    network, given = make(), inputs()
    expected = network(given, training=training)
    found = tf.function(network)(given, training=training)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_every_weight_gets_a_gradient():
    network = make()
    with tf.GradientTape() as tape:
        found = network(inputs(), training=True)
        loss = sum(tf.reduce_sum(x**2) for x in found.values())
    gradients = tape.gradient(loss, network.trainable_variables)
    for w, g in zip(network.trainable_variables, gradients, strict=True):
        assert g is not None, w.path
        assert np.any(g), w.path
        assert np.isfinite(g).all(), w.path


def test_bfloat16_gives_float32_logits_near_the_exact_ones():
    exact, low = make(), make(dtype="mixed_bfloat16")
    low.set_weights(exact.get_weights())
    expected, found = exact(inputs()), low(inputs())
    assert low.code(inputs()["images"]).dtype == "bfloat16"
    for name, value in found.items():
        assert value.dtype == "float32"
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], atol=0.05 * scale)


def test_codes_are_those_of_each_batch_in_turn():
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 16, 3))
    pictures = list(pictures.astype(np.float32))
    one_by_one, together = (
        Discriminator(image_size=16, df=4, sentence_size=6) for _ in range(2)
    )
    for network in (one_by_one, together):
        network.build()
    together.set_weights(one_by_one.get_weights())
    expected = [one_by_one.code(x, training=True) for x in pictures]
    found = together.codes(pictures, training=True)
    assert len(found) == 2
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    # BN moved as well, first by the one, then by the other.
    for one, other in zip(together.weights, one_by_one.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
