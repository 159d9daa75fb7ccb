"""A training step is the peer's: gradients, updates, statistics, average.

Float32 bounds what can be asked. A rounding of 1e-6 puts about 1e-6 of all
activations on the other side of a ReLU's corner, or another place into a max
pool; what comes back through these is not nearly the gradient, but another.
Such errors add up as noise does, to about sqrt(1e-6) = 1e-3 of a gradient in
each layer, if there are any. So the peer's own gradients of the generator,
behind Inception-v3, are 1e-2 off what it has in float64; with all corners
rounded, 1e-5.

Therefore the step is compared twice: tensor by tensor with rounded corners,
and as it is with what corners leave comparable.
"""

import itertools

import numpy as np
import pytest
from paired import difference, give, released, rounded_corners
from peers import networks
from twins import TABLE, Pair, Twins

from attngan_tf.models import build
from attngan_tf.published import layouts

TENSORS = 1e-3  # norm of a tensor's difference, by the norm of the peer's


@pytest.fixture(scope="module")
def encoders():
    """Fixed, and the same in all steps."""
    config, peers = released("cub", TABLE), networks.build(TABLE)
    text_encoder = build.text_encoder(config, TABLE["vocabulary_size"])
    image_encoder = build.image_encoder(config, None)
    give(layouts.text_encoder(text_encoder), peers.text_encoder)
    give(layouts.image_encoder(image_encoder), peers.image_encoder)
    text_encoder.trainable = image_encoder.trainable = False
    return text_encoder, image_encoder


@pytest.fixture(scope="module", params=["cub", "coco", "dcgan"])
def rounded(request, encoders) -> list[Pair]:
    """Before the first step, after it, and (COCO) after two more."""
    twins = Twins(request.param, encoders)
    steps = 3 if request.param == "coco" else 1
    with rounded_corners():
        return [twins.now({}, {}), *(twins.run(i + 1) for i in range(steps))]


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


def test_both_start_from_the_same(rounded):
    ours, theirs = rounded[0]
    assert set(ours.weights) == set(theirs.weights)
    for name, value in theirs.weights.items():
        np.testing.assert_array_equal(ours.weights[name], value)


def test_terms(rounded):
    _, first, *later = rounded
    assert first.ours.terms == pytest.approx(first.theirs.terms, rel=1e-4)
    for ours, theirs in later:
        assert ours.terms == pytest.approx(theirs.terms, rel=2e-3)


def test_gradients(rounded):
    ours, theirs = (side.gradients for side in rounded[1])
    for name, value in theirs.items():
        # A shift of all that a convolution with BN reads is lost in its mean,
        # but at the border: terms that nearly cancel, less exact by as much.
        most = TENSORS * (10 if name.endswith("block.4.bias") else 1)
        assert difference(ours[name], value) < most, name


def test_updates(rounded):
    """Adam's first is the rate times nearly the sign of the gradient.

    So it turns where a gradient of nearly zero is rounded: compared is the
    rest, over four fifths of each tensor.
    """
    start, first, *_ = rounded
    for name, pair in moves(start, first, "weights", False).items():
        size = abs(first.theirs.gradients[name])
        clear = size > 1e-2 * np.sqrt(np.mean(size**2))
        assert clear.mean() > 0.8
        assert difference(*(x[clear] for x in pair)) < TENSORS, name


def test_batch_norm_statistics(rounded):
    for before, after in itertools.pairwise(rounded):
        for name, pair in moves(before, after, "weights", True).items():
            assert difference(*pair) < TENSORS, name


def test_average(rounded):
    start, first, *_ = rounded
    for name, pair in moves(start, first, "average", False).items():
        assert difference(*pair) < TENSORS, name
    for name, value in first.ours.average.items():
        if "running" in name:  # those of the average are the live ones
            live = first.ours.weights[f"generator/{name}"]
            np.testing.assert_array_equal(value, live)


def whole(by_name: dict, network: str) -> np.ndarray:
    """All numbers of the networks whose names begin so."""
    names = [name for name in sorted(by_name) if name.startswith(network)]
    return np.concatenate([by_name[name].ravel() for name in names])


def test_later_updates(rounded):
    """Behind the first step, momentum carries sizes of gradients, too.

    The steps start from weights of which some turned otherwise, so networks
    are compared as a whole, to 5e-3.
    """
    for before, after in itertools.pairwise(rounded[1:]):
        pairs = moves(before, after, "weights", False)
        sides = [
            {name: pair[i] for name, pair in pairs.items()} for i in (0, 1)
        ]
        for network in ("generator", "discriminator"):
            pair = (whole(side, network) for side in sides)
            assert difference(*pair) < 5e-3, network


def test_the_step_as_it_is(released_step):
    """Terms, statistics, and each network's gradient as a whole."""
    start, (ours, theirs) = released_step
    assert ours.terms == pytest.approx(theirs.terms, rel=1e-2)
    for name, value in theirs.terms.items():
        if name.startswith(("discriminator", "damsm")):  # of first weights
            assert ours.terms[name] == pytest.approx(value, rel=1e-4)
    for name, pair in moves(start, released_step[1], "weights", True).items():
        assert difference(*pair) < TENSORS, name
    found = {name: ours.gradients[name] for name in theirs.gradients}
    for network in ("generator", "discriminator"):
        pair = (whole(x, network) for x in (found, theirs.gradients))
        assert difference(*pair) < 5e-2, network
