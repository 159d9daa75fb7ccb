"""The generator against the PyTorch reference, and its options."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from attngan_tf.models import build
from attngan_tf.models.generator import Generator, sample_condition
from attngan_tf.pretrained import layouts
from tests.reference import networks
from tests.reference.pairing import (
    assert_close,
    channels_last,
    give,
    released,
    rows,
    zero_start,
)

SMALL = {
    "base_size": 8,
    "num_stages": 3,
    "gf": 4,
    "condition_size": 6,
    "z_size": 5,
    "word_size": 12,
    "residual_blocks": 1,
}
LENGTHS = [5, 1, 3]
TOLERANCE = 1e-4  # images are in [-1, 1], features of order 1


def make(**options) -> Generator:
    keras.utils.set_random_seed(7)
    network = Generator(**SMALL | options)
    network.build()
    # BN statistics that differ from the start's.
    rng = np.random.default_rng(0)
    for w in network.non_trainable_variables:
        low, high = (0.5, 1.5) if "variance" in w.path else (-0.3, 0.3)
        w.assign(rng.uniform(low, high, w.shape))
    return network


def inputs(B=3, T=5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {"word_features": (B, T, 12), "sentence_features": (B, 12)}
    shapes |= {"z": (B, 5), "eps": (B, 6)}
    values = {k: np.float32(rng.normal(size=s)) for k, s in shapes.items()}
    return values | {"lengths": np.array(LENGTHS[:B], np.int32)}


@pytest.mark.parametrize(
    ("sizes", "dcgan"),
    [
        ("tiny", False),
        ("tiny", True),
        pytest.param("cub", False, marks=pytest.mark.slow),
        pytest.param("cub", True, marks=pytest.mark.slow),
        pytest.param("coco", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("one_torch_thread")
def test_outputs_equal_those_of_the_reference(sizes, dcgan):
    tables = {"tiny": networks.TINY, "cub": networks.CUB, "coco": networks.COCO}
    table = tables[sizes]
    generator = torch.Generator().manual_seed(3)
    shapes = [(4, table["z_size"]), (4, table["condition_size"])]
    shapes += [(4, table["feature_size"]), (4, table["feature_size"], 9)]
    z, eps, sentences, words = given = [
        torch.randn(shape, generator=generator) for shape in shapes
    ]
    words *= 0.3
    lengths = torch.tensor([9, 3, 6, 1])
    given.append(torch.arange(9) >= lengths[:, None])
    reference = networks.Generator(table, dcgan).requires_grad_(False)
    _start(reference, given, random=sizes == "tiny")
    with zero_start():
        ours = build.generator(
            released(
                "coco" if sizes == "coco" else "cub",
                table,
                generator="attndcgan" if dcgan else "attngan",
            )
        )
    give(layouts.generator(ours), reference)
    expected = reference.eval()(*given)
    outputs = {"mu": expected.mu, "logvar": expected.logvar}
    for images in expected.images:
        outputs[f"images_{images.shape[-1]}"] = channels_last(images)
    for weights in expected.attention:
        outputs[f"attention_{2 * weights.shape[-1]}"] = weights
    assert len(outputs) == (5 if dcgan else 7)
    found = ours(
        {
            "word_features": rows(words),
            "sentence_features": sentences.numpy(),
            "lengths": lengths.numpy(),
            "z": z.numpy(),
            "eps": eps.numpy(),
        }
    )
    assert set(found) == set(outputs)
    for name, value in outputs.items():
        assert_close(found[name], value, TOLERANCE, name)


def _start(reference, given, random: bool) -> None:
    """Random weights, or at full size the released start.

    With random weights of COCO's size, images are nearly black and white, and
    the reference in float32 differs from itself in float64 by 3e-4. The
    released start gets the BN statistics of these inputs.
    """
    if random:
        networks.randomize(reference, 2)
        return
    networks.initialize(reference, 2)
    for module in reference.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    reference.train()(*given)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 7_084_592),  # CUB
        ({"gf": 48, "residual_blocks": 3}, 13_811_456),  # COCO
        ({"residual_blocks": 0, "last_head_only": True}, 6_638_960),  # DCGAN
    ],
)
def test_parameter_counts_are_the_published_ones(options, count):
    with zero_start():
        network = Generator(**options)
        network.build()
    counted = sum(int(np.prod(w.shape)) for w in network.trainable_variables)
    assert counted == count


def test_condition_of_a_row_does_not_depend_on_the_batch():
    rng = np.random.default_rng(5)
    mu, logvar, eps = rng.normal(size=[3, 9, 100]).astype(np.float32)
    together = sample_condition(mu, logvar, eps).numpy()
    np.testing.assert_allclose(
        together, mu + np.exp(logvar / 2) * eps, rtol=1e-5, atol=1e-6
    )
    for B in range(1, 9):
        part = sample_condition(mu[:B], logvar[:B], eps[:B])
        np.testing.assert_array_equal(part, together[:B])


@pytest.mark.parametrize("num_stages", [1, 4])
def test_output_shapes_of_other_numbers_of_stages(num_stages):
    network = make(num_stages=num_stages, gf=2)
    found = network(inputs(), training=True)
    sizes = [8, 16, 32, 64][:num_stages]
    expected = {f"images_{S}": (3, S, S, 3) for S in sizes}
    expected |= {"mu": (3, 6), "logvar": (3, 6)}
    expected |= {f"attention_{S}": (3, 5, S // 2, S // 2) for S in sizes[1:]}
    assert {name: value.shape for name, value in found.items()} == expected


@pytest.mark.parametrize("attention", ["words", "none"])
def test_matrices_start_orthogonal(attention):
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


@pytest.mark.parametrize("attention", ["words", "none"])
def test_training_in_a_graph_moves_every_bn_and_equals_eager(attention):
    network, given = make(attention=attention), inputs()
    weights = network.get_weights()
    network(given)
    for old, new in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    with tf.GradientTape() as tape:
        expected = network(given, training=True)
        images = [v for k, v in expected.items() if k.startswith("images")]
        loss = sum(tf.reduce_mean(x**3 + x) for x in images)
    for w, old in zip(network.weights, weights, strict=True):
        moved = not np.array_equal(w, old)
        assert moved == ("moving" in w.path), w.path
    gradients = tape.gradient(loss, network.trainable_variables)
    for w, g in zip(network.trainable_variables, gradients, strict=True):
        assert g is not None, w.path
        assert np.isfinite(g).all(), w.path
        assert np.any(g), w.path
    network.set_weights(weights)
    found = tf.function(network)(given, training=True)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)


@pytest.mark.parametrize("attention", ["words", "none"])
def test_bfloat16_is_close_to_float32(attention):
    exact = make(attention=attention)
    low = make(attention=attention, dtype="mixed_bfloat16")
    low.set_weights(exact.get_weights())
    expected, found = exact(inputs()), low(inputs())
    # Not equal, or nothing was computed in bfloat16.
    assert np.abs(found["images_8"] - expected["images_8"]).max() > 1e-5
    for name, value in found.items():
        assert value.dtype == "float32", name
        assert np.abs(value - expected[name]).mean() < 0.02, name
