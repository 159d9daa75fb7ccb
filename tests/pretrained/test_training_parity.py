"""A training step is the peer's: gradients, updates, statistics, average.

In float64 all of it is compared, tensor by tensor, over three steps.

Float32 bounds what can be asked. A rounding of 1e-6 puts about 1e-6 of all
activations on the other side of a ReLU's corner, or another place into a max
pool; what comes back through these is not nearly the gradient, but another.
Such errors add up as noise does, to about sqrt(1e-6) = 1e-3 of a gradient in
each layer, if there are any. So the peer's own float32 gradients of the
generator, behind Inception-v3, are 1e-2 off what it has in float64; with all
corners rounded, 1e-5. In float32, therefore, gradients are compared tensor by
tensor with rounded corners, and as they are for each network as a whole.
"""

import itertools

import numpy as np
import pytest
from double_precision import double_precision, give_folded
from paired import difference, give, released, rounded_corners
from peers import networks
from twins import TABLE, Pair, Twins

from attngan_tf.models import build
from attngan_tf.pretrained import layouts

EXACT = 1e-9  # norm of a tensor's difference, by the norm of the peer's
FLOAT32 = 1e-3


def fixed_encoders(peers: networks.Networks) -> tuple:
    """Encoders with the weights of the peers'."""
    config = released("cub", TABLE)
    text_encoder = build.text_encoder(config, TABLE["vocabulary_size"])
    image_encoder = build.image_encoder(config, None)
    give(layouts.text_encoder(text_encoder), peers.text_encoder)
    give(layouts.image_encoder(image_encoder), peers.image_encoder)
    text_encoder.trainable = image_encoder.trainable = False
    return text_encoder, image_encoder


@pytest.fixture(scope="module")
def double_encoders():
    with double_precision():
        peers = networks.build(TABLE)
        encoders = fixed_encoders(peers)
        give_folded(encoders[1], peers.image_encoder)
    return encoders, peers


@pytest.fixture(scope="module", params=["cub", "coco", "dcgan"])
def exact(request, double_encoders) -> list[Pair]:
    """In float64: before the first step, after it, and after two more."""
    encoders, peers = double_encoders
    with double_precision():
        twins = Twins(request.param, encoders)
        twins.peers = twins.peers._replace(image_encoder=peers.image_encoder)
        return [twins.now({}, {}), *(twins.run(i) for i in (1, 2, 3))]


@pytest.fixture(scope="module")
def encoders():
    return fixed_encoders(networks.build(TABLE))


@pytest.fixture(scope="module")
def rounded(encoders) -> list[Pair]:
    """Before and after CUB's first step, without corners."""
    twins = Twins("cub", encoders)
    with rounded_corners():
        return [twins.now({}, {}), twins.run(1)]


@pytest.fixture(scope="module")
def released_step(encoders) -> list[Pair]:
    """Before and after CUB's first step, corners and all."""
    twins = Twins("cub", encoders)
    return [twins.now({}, {}), twins.run(1)]


def moves(before: Pair, after: Pair, field: str, statistics: bool):
    """Name -> ours and theirs: what weights, or BN's statistics, moved by."""
    old = [getattr(side, field) for side in before]
    new = [getattr(side, field) for side in after]
    assert set(new[0]) == set(new[1])
    return {
        name: [n[name] - o[name] for o, n in zip(old, new, strict=True)]
        for name in new[1]
        if statistics == ("running" in name)
    }


def test_both_start_from_the_same(exact):
    ours, theirs = exact[0]
    assert set(ours.weights) == set(theirs.weights)
    for name, value in theirs.weights.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(ours.weights[name], value, strict=True)


def test_terms(exact):
    for ours, theirs in exact[1:]:
        assert ours.terms == pytest.approx(theirs.terms, rel=EXACT)


def test_gradients(exact):
    ours, theirs = (side.gradients for side in exact[1])
    for name, value in theirs.items():
        assert difference(ours[name], value) < EXACT, name


def test_updates(exact):
    for before, after in itertools.pairwise(exact):
        for name, pair in moves(before, after, "weights", False).items():
            assert difference(*pair) < EXACT, name


def test_batch_norm_statistics(exact):
    for before, after in itertools.pairwise(exact):
        for name, pair in moves(before, after, "weights", True).items():
            assert difference(*pair) < EXACT, name


def test_average(exact):
    for before, after in itertools.pairwise(exact):
        for name, pair in moves(before, after, "average", False).items():
            assert difference(*pair) < EXACT, name
        for name, value in after.ours.average.items():
            if "running" in name:  # those of the average are the live ones
                live = after.ours.weights[f"generator/{name}"]
                np.testing.assert_array_equal(value, live)


def test_float32_with_rounded_corners(rounded):
    start, (ours, theirs) = rounded
    assert ours.terms == pytest.approx(theirs.terms, rel=1e-4)
    for name, value in theirs.gradients.items():
        assert value.dtype == np.float32
        # A shift of all that a convolution with BN reads is lost in its mean,
        # but at the border: terms that nearly cancel, less exact by as much.
        most = FLOAT32 * (10 if name.endswith("block.4.bias") else 1)
        assert difference(ours.gradients[name], value) < most, name
    for name, pair in moves(start, rounded[1], "weights", True).items():
        assert difference(*pair) < FLOAT32, name


def whole(by_name: dict, network: str) -> np.ndarray:
    """All numbers of the networks whose names begin so."""
    names = [name for name in sorted(by_name) if name.startswith(network)]
    return np.concatenate([by_name[name].ravel() for name in names])


def test_float32_as_it_is(released_step):
    """Terms, statistics, and each network's gradient as a whole."""
    start, (ours, theirs) = released_step
    assert ours.terms == pytest.approx(theirs.terms, rel=1e-2)
    for name, value in theirs.terms.items():
        if name.startswith(("discriminator", "damsm")):  # of first weights
            assert ours.terms[name] == pytest.approx(value, rel=1e-4)
    for name, pair in moves(start, released_step[1], "weights", True).items():
        assert difference(*pair) < FLOAT32, name
    found = {name: ours.gradients[name] for name in theirs.gradients}
    for network in ("generator", "discriminator"):
        pair = (whole(x, network) for x in (found, theirs.gradients))
        assert difference(*pair) < 5e-2, network
