"""Three GAN steps equal those of the reference, tensor by tensor.

They are compared in float64. In float32, one step is compared, and each
network's gradient as a whole: the reference's own float32 gradients behind
Inception-v3 differ by 1e-2 from those in float64, since a rounding of 1e-6
puts some activations on the other side of a ReLU's corner.
"""

import itertools

import numpy as np
import pytest

from tests.reference import networks
from tests.reference.paired_step import SIZES, Pair, PairedStep, fixed_encoders
from tests.reference.pairing import difference, double_precision, give_fused

pytestmark = pytest.mark.slow
EXACT = 1e-9  # norm of a tensor's difference, relative to the reference's
FLOAT32 = 1e-3


@pytest.fixture(scope="module")
def double_encoders():
    with double_precision():
        reference = networks.build(SIZES)
        encoders = fixed_encoders(reference)
        give_fused(encoders[1], reference.image_encoder)
    return encoders, reference.image_encoder


@pytest.fixture(scope="module", params=["cub", "coco", "dcgan"])
def exact(request, double_encoders) -> list[Pair]:
    """In float64: before the first step, and after each of three."""
    with double_precision():
        steps = PairedStep(request.param, *double_encoders)
        return [steps.now({}, {}), *(steps.run(i) for i in (1, 2, 3))]


def moves(before: Pair, after: Pair, field: str, statistics: bool):
    """Name -> what weights, or BN statistics, moved by, ours and reference."""
    old = [getattr(side, field) for side in before]
    new = [getattr(side, field) for side in after]
    assert set(new[0]) == set(new[1])
    return {
        name: [n[name] - o[name] for o, n in zip(old, new, strict=True)]
        for name in new[1]
        if statistics == ("running" in name)
    }


def test_both_start_with_the_same_weights(exact):
    ours, reference = exact[0]
    assert set(ours.weights) == set(reference.weights)
    for name, value in reference.weights.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(ours.weights[name], value, strict=True)


def test_loss_terms(exact):
    for ours, reference in exact[1:]:
        assert ours.terms == pytest.approx(reference.terms, rel=EXACT)


def test_gradients(exact):
    ours, reference = (side.gradients for side in exact[1])
    for name, value in reference.items():
        assert difference(ours[name], value) < EXACT, name


@pytest.mark.parametrize("statistics", [False, True])
def test_updates_of_weights_and_of_batch_norm_statistics(exact, statistics):
    for before, after in itertools.pairwise(exact):
        found = moves(before, after, "weights", statistics)
        assert found
        for name, pair in found.items():
            assert difference(*pair) < EXACT, name


def test_average(exact):
    for before, after in itertools.pairwise(exact):
        for name, pair in moves(before, after, "average", False).items():
            assert difference(*pair) < EXACT, name
        for name, value in after.ours.average.items():
            if "running" in name:  # those of the average are the live ones
                live = after.ours.weights[f"generator/{name}"]
                np.testing.assert_array_equal(value, live)


def whole(by_name: dict, network: str) -> np.ndarray:
    """All numbers of the networks whose names begin so."""
    names = [name for name in sorted(by_name) if name.startswith(network)]
    return np.concatenate([by_name[name].ravel() for name in names])


def test_float32_step():
    """Terms, BN statistics, and each network's gradient as a whole."""
    reference = networks.build(SIZES)
    encoders = fixed_encoders(reference)
    steps = PairedStep("cub", encoders, reference.image_encoder)
    start, after = steps.now({}, {}), steps.run(1)
    ours, expected = after
    assert ours.terms == pytest.approx(expected.terms, rel=1e-2)
    for name, value in expected.terms.items():
        if name.startswith(("discriminator", "damsm")):  # of first weights
            assert ours.terms[name] == pytest.approx(value, rel=1e-4)
    for name, pair in moves(start, after, "weights", True).items():
        assert difference(*pair) < FLOAT32, name
    found = {name: ours.gradients[name] for name in expected.gradients}
    for network in ("generator", "discriminator"):
        pair = (whole(x, network) for x in (found, expected.gradients))
        assert difference(*pair) < 5e-2, network
