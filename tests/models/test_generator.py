"""The generator: names, shapes and ranges, Eq. 1, and what must not matter."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models.generator import Generator, draw_condition

TINY = {
    "base_size": 8,
    "num_stages": 3,
    "gf": 4,
    "condition_size": 6,
    "z_size": 5,
    "word_size": 12,
    "residual_blocks": 1,
}
LENGTHS = [5, 1, 3]


def make(**options) -> Generator:
    keras.utils.set_random_seed(7)
    network = Generator(**TINY | options)
    network.build()
    # Statistics of maps, so that inference is not blind to BN's.
    rng = np.random.default_rng(0)
    for w in network.non_trainable_variables:
        low, high = (0.5, 1.5) if "variance" in w.path else (-0.3, 0.3)
        w.assign(rng.uniform(low, high, w.shape))
    return network


def test_a_row_of_the_condition_is_the_same_in_every_batch():
    rng = np.random.default_rng(5)
    mu, logvar, eps = rng.normal(size=[3, 9, 100]).astype(np.float32)
    together = draw_condition(mu, logvar, eps).numpy()
    np.testing.assert_allclose(
        together, mu + np.exp(logvar / 2) * eps, rtol=1e-5, atol=1e-6
    )
    for B in range(1, 9):
        part = draw_condition(mu[:B], logvar[:B], eps[:B])
        np.testing.assert_array_equal(part, together[:B])


def inputs(B=3, T=5, seed=1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        "word_features": (B, T, 12),
        "sentence_features": (B, 12),
        "z": (B, 5),
        "eps": (B, 6),
    }
    values = {k: rng.normal(size=s) for k, s in shapes.items()}
    values = {k: v.astype(np.float32) for k, v in values.items()}
    return values | {"lengths": np.array(LENGTHS[:B], np.int32)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights_of(layer):
    return [w.numpy().astype(np.float64) for w in layer.weights]


@pytest.fixture
def cheap_start(monkeypatch):
    """Orthogonal matrices of full size take seconds; counts need none."""

    def zeros(self, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.Orthogonal, "__call__", zeros)


@pytest.mark.usefixtures("cheap_start")
@pytest.mark.parametrize(
    ("options", "published"),
    [
        ({}, 7_084_592),  # CUB
        ({"gf": 48, "residual_blocks": 3}, 13_811_456),  # COCO
        ({"residual_blocks": 0, "last_head_only": True}, 6_638_960),  # DCGAN
    ],
)
def test_parameters_are_the_published_ones(options, published):
    network = Generator(**options)
    network.build()
    counted = sum(int(np.prod(w.shape)) for w in network.trainable_variables)
    assert counted == published


@pytest.mark.parametrize("num_stages", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("attention", "last_head_only"),
    [("words", False), ("words", True), ("none", False)],
)
def test_outputs_of_one_to_four_stages(num_stages, attention, last_head_only):
    network = make(
        num_stages=num_stages,
        gf=2,
        attention=attention,
        last_head_only=last_head_only,
    )
    found = network(inputs(), training=True)
    sizes = [8, 16, 32, 64][:num_stages]
    drawn = sizes[-1:] if last_head_only else sizes
    expected = {f"images_{S}": (3, S, S, 3) for S in drawn}
    expected |= {"mu": (3, 6), "logvar": (3, 6)}
    if attention == "words":
        attended = {f"attention_{S}": (3, 5, S // 2, S // 2) for S in sizes[1:]}
        expected |= attended
    assert {name: value.shape for name, value in found.items()} == expected
    assert network.image_sizes == drawn
    for name, value in found.items():
        assert value.dtype == "float32"
        if name.startswith("images"):
            assert np.abs(value).max() <= 1
            # A picture, neither one colour nor all at the ends.
            assert 0.05 < np.std(value) < 0.95


def test_weights_exist_before_the_first_call():
    network = make()
    before = [w.path for w in network.weights]
    network(inputs())
    assert [w.path for w in network.weights] == before


@pytest.mark.parametrize("attention", ["words", "none"])
def test_all_matrices_start_orthogonal(attention):
    network = make(attention=attention)
    kernels = [w for w in network.weights if w.path.endswith("kernel")]
    assert len(kernels) == 14
    for w in kernels:
        matrix = w.numpy().reshape(-1, w.shape[-1])
        rows, columns = matrix.shape
        product = matrix.T @ matrix if rows > columns else matrix @ matrix.T
        np.testing.assert_allclose(
            product, np.eye(min(rows, columns)), atol=1e-5, err_msg=w.path
        )


def test_conditioning_augmentation_is_a_numpy_glu():
    network, given = make(), inputs()
    kernel, bias = weights_of(network.augmentation.dense)
    assert kernel.shape == (12, 24)
    network.augmentation.dense.bias.assign(bias + 0.1 * np.arange(24))
    both = given["sentence_features"] @ kernel + bias + 0.1 * np.arange(24)
    both = both[:, :12] * sigmoid(both[:, 12:])
    found = network(given)
    np.testing.assert_allclose(found["mu"], both[:, :6], atol=1e-5)
    np.testing.assert_allclose(found["logvar"], both[:, 6:], atol=1e-5)


def test_first_stage_is_dense_bn_glu_and_reshape_of_condition_then_z():
    # At 4 x 4 pixels there are no up-blocks: all of F0 and G0 is seen.
    network = make(base_size=4, num_stages=1, gf=3)
    given = inputs()
    found = network(given)
    mu, logvar = (np.float64(found[name]) for name in ("mu", "logvar"))
    condition = mu + np.sqrt(np.exp(logvar)) * given["eps"]
    x = np.concatenate([condition, given["z"]], axis=1)
    kernel, gamma, beta, mean, variance = weights_of(network.first)
    assert kernel.shape == (11, 2 * 16 * 3)
    y = gamma * (x @ kernel - mean) / np.sqrt(variance + 1e-5) + beta
    h = (y[:, :48] * sigmoid(y[:, 48:])).reshape(3, 4, 4, 3)
    (head,) = weights_of(network.heads["images_4"])
    padded = np.pad(h, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    drawn = np.tanh(np.einsum("bhwcij,ijcd->bhwd", windows, head))
    np.testing.assert_allclose(found["images_4"], drawn, atol=1e-5)


def test_next_stages_read_the_map_then_its_word_context():
    """Eq. 1 and 2, from the first map on; blocks are tested on their own."""
    network, given = make(num_stages=2), inputs()
    found = network(given)
    condition = found["mu"] + np.exp(0.5 * found["logvar"]) * given["eps"]
    h = network.first(np.concatenate([condition, given["z"]], axis=1))
    (U,) = weights_of(network.contexts[0])
    words = given["word_features"] @ U
    scores = np.einsum("bhwc,btc->bhwt", h, words)
    for b, length in enumerate(LENGTHS):
        scores[b, :, :, length:] = -np.inf
    beta = np.exp(scores - scores.max(-1, keepdims=True))
    beta /= beta.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        found["attention_16"], beta.transpose(0, 3, 1, 2), atol=1e-5
    )
    context = np.einsum("bhwt,btc->bhwc", beta, words)
    joined = np.concatenate([h, np.float32(context)], axis=-1)
    images = network.heads["images_16"](network.stages[0].body(joined))
    np.testing.assert_allclose(found["images_16"], images, atol=1e-4)


def test_stages_without_attention_read_the_map_then_the_condition():
    network, given = make(num_stages=2, attention="none"), inputs()
    found = network(given)
    condition = found["mu"] + np.exp(0.5 * found["logvar"]) * given["eps"]
    h = network.first(np.concatenate([condition, given["z"]], axis=1))
    tiled = np.broadcast_to(condition[:, None, None], (3, 8, 8, 6))
    context = network.contexts[0].body(np.concatenate([h, tiled], axis=-1))
    joined = np.concatenate([h, context], axis=-1)
    images = network.heads["images_16"](network.stages[0].body(joined))
    np.testing.assert_allclose(found["images_16"], images, atol=1e-5)


def test_attention_sums_to_one_over_true_words_only():
    found = make()(inputs())
    for name in ("attention_16", "attention_32"):
        weights = found[name].numpy()
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
        for b, length in enumerate(LENGTHS):
            assert not weights[b, length:].any()
        assert (weights >= 0).all()


@pytest.mark.parametrize("garbage", [100.0, np.nan, np.inf])
def test_what_stands_at_padding_does_not_matter(garbage):
    network, given = make(), inputs()
    expected = network(given)
    for b, length in enumerate(LENGTHS):
        given["word_features"][b, length:] = garbage
    for name, value in network(given).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("attention", ["words", "none"])
def test_words_matter_only_to_attention(attention):
    network, given = make(attention=attention), inputs()
    before = network(given)
    given["word_features"] = given["word_features"] + 1.0
    after = network(given)
    np.testing.assert_array_equal(before["images_8"], after["images_8"])
    same = np.allclose(before["images_32"], after["images_32"], atol=1e-3)
    assert same == (attention == "none")


@pytest.mark.parametrize("attention", ["words", "none"])
def test_a_row_does_not_depend_on_the_others(attention):
    network, given = make(attention=attention), inputs()
    together = network(given)
    for b in range(3):
        alone = network({k: v[b : b + 1] for k, v in given.items()})
        for name, value in alone.items():
            np.testing.assert_allclose(
                value[0], together[name][b], atol=1e-5, err_msg=name
            )


def test_without_eps_the_condition_is_its_mean():
    network, given = make(), inputs()
    drawn = network(given)["images_32"]
    given["eps"] = np.zeros_like(given["eps"])
    mean = network(given)
    assert np.abs(drawn - mean["images_32"]).max() > 0.01
    # Whatever the variance: the last quarters of Fca give logvar.
    bias = network.augmentation.dense.bias
    bias.assign(bias + np.repeat([0.0, 2.0, 0.0, 0.0], 6))
    found = network(given)
    assert np.abs(found["logvar"] - mean["logvar"]).min() > 0.1
    np.testing.assert_allclose(found["images_32"], mean["images_32"])


@pytest.mark.parametrize("training", [False, True])
def test_a_graph_gives_what_eager_gives(training):
    network, given = make(), inputs()
    weights = network.get_weights()
    expected = network(given, training=training)
    network.set_weights(weights)
    found = tf.function(network)(given, training=training)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


def test_training_moves_every_bn():
    network = make()
    before = [w.numpy() for w in network.non_trainable_variables]
    network(inputs())
    for old, new in zip(before, network.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(new, old)
    network(inputs(), training=True)
    for old, new in zip(before, network.non_trainable_variables, strict=True):
        assert not np.array_equal(new, old), new.path


@pytest.mark.parametrize("attention", ["words", "none"])
def test_every_weight_gets_a_gradient(attention):
    network = make(attention=attention)
    with tf.GradientTape() as tape:
        found = network(inputs(), training=True)
        images = [v for k, v in found.items() if k.startswith("images")]
        loss = sum(tf.reduce_mean(x**3 + x) for x in images)
    gradients = tape.gradient(loss, network.trainable_variables)
    for w, g in zip(network.trainable_variables, gradients, strict=True):
        assert g is not None, w.path
        assert np.isfinite(g).all(), w.path
        assert np.any(g), w.path


@pytest.mark.parametrize("attention", ["words", "none"])
def test_bfloat16_is_near_float32(attention):
    exact = make(attention=attention)
    low = make(attention=attention, dtype="mixed_bfloat16")
    low.set_weights(exact.get_weights())
    assert {w.dtype for w in low.weights} == {"float32"}
    expected = exact(inputs())
    found = low(inputs())
    # Not equal, or nothing was computed in bfloat16.
    assert np.abs(found["images_8"] - expected["images_8"]).max() > 1e-5
    for name, value in found.items():
        assert value.dtype == "float32", name
        assert np.abs(value - expected[name]).mean() < 0.02, name
