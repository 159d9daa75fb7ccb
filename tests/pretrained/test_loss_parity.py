"""Every loss term with the released settings is the peer's."""

import numpy as np
import pytest
import torch
from paired import channels_last, give, released, rows, zero_start
from peers import losses as peer_losses
from peers import networks, sizes

from attngan_tf import losses
from attngan_tf.models import build
from attngan_tf.pretrained import layouts
from attngan_tf.training import assembly

B, T, D = 5, 7, 16
LENGTHS = torch.tensor([7, 1, 4, 6, 2])
CLASSES = torch.tensor([3, 8, 3, 3, 5])
RELATIVE = 1e-4


@pytest.fixture(scope="module")
def features():
    """Features of matching pairs, in the peer's layout."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    return {
        "regions": 0.5 * normal(B, D, 4, 4),
        "words": normal(B, D, T),
        "images": normal(B, D),
        "sentences": normal(B, D),
    }


def damsm(features, dataset, classes, **fields) -> losses.DamsmLoss:
    """Eq. 14 by a released flagfile, which `fields` change."""
    config = released(dataset, sizes.TINY, **fields)
    return losses.damsm_loss(
        rows(features["regions"]),
        features["images"].numpy(),
        rows(features["words"]),
        features["sentences"].numpy(),
        LENGTHS.numpy(),
        classes.numpy() if config.damsm_same_class_mask else None,
        **assembly.damsm_options(config),
    )


def peer_damsm(features, classes):
    gammas = {k: v for k, v in sizes.CUB_LOSSES.items() if "gamma" in k}
    words = peer_losses.words_loss(
        features["regions"], features["words"], LENGTHS, classes, **gammas
    )
    sentences = peer_losses.sent_loss(
        features["images"],
        features["sentences"],
        classes,
        gamma3=gammas["gamma3"],
    )
    return np.array([*words, *sentences])


@pytest.mark.parametrize(
    ("dataset", "classes"), [("cub", CLASSES), ("coco", None)]
)
def test_damsm(features, dataset, classes):
    """CUB masks pairs of one class, COCO has no classes."""
    expected = peer_damsm(features, classes)
    *terms, total = damsm(features, dataset, CLASSES)
    np.testing.assert_allclose(terms, expected, rtol=RELATIVE)
    np.testing.assert_allclose(total, expected.sum(), rtol=RELATIVE)


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        ({"damsm_gamma1": 8.0}, [1, 1, 0, 0]),
        ({"damsm_gamma2": 4.0}, [1, 1, 0, 0]),
        ({"damsm_gamma3": 9.0}, [1, 1, 1, 1]),
        ({"word_score": "paper"}, [1, 1, 0, 0]),
        ({"damsm_same_class_mask": False}, [1, 1, 1, 1]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_setting_has_its_part_in_that(features, fields, changed):
    expected = peer_damsm(features, CLASSES)
    *terms, _ = damsm(features, "cub", CLASSES, **fields)
    away = ~np.isclose(terms, expected, rtol=10 * RELATIVE)
    assert away.tolist() == [bool(x) for x in changed]


@pytest.fixture(scope="module", params=["attngan", "attndcgan"])
def judged(request):
    """A discriminator of each kind, its peer, and pictures they judge."""
    dcgan = request.param == "attndcgan"
    peer = networks.discriminators(sizes.TINY, dcgan)[-1].eval()
    networks.randomize(peer, 1)
    with zero_start():
        config = released("cub", sizes.TINY, generator=request.param)
        ours = build.discriminators(config)[256]
    give(layouts.discriminator(ours), peer)
    draw = torch.Generator().manual_seed(2)
    real, fake = torch.rand(2, B, 3, 256, 256, generator=draw) * 2 - 1
    return config, ours, peer, real, fake


def compare(found, expected):
    for name, value in expected._asdict().items():
        ours = getattr(found, name)
        assert (ours is None) == (value is None)
        if value is not None:
            assert float(ours) == pytest.approx(value.item(), rel=RELATIVE)


def test_discriminator_loss(judged, features):
    _, ours, peer, real, fake = judged
    sentences = features["sentences"]
    with torch.no_grad():
        expected = peer_losses.discriminator_loss(peer, real, fake, sentences)
    codes = [ours.code(channels_last(images)) for images in (real, fake)]
    sentences = sentences.numpy()
    found = losses.discriminator_loss(
        *(
            logits
            for code in codes
            for logits in (
                ours.unconditional_logits(code),
                ours.conditional(code, sentences),
            )
        ),
        ours.conditional(codes[0][:-1], sentences[1:]),
    )
    compare(found, expected)


def test_generator_loss(judged, features):
    config, ours, peer, _, fake = judged
    with torch.no_grad():
        expected = peer_losses.generator_loss(peer, fake, features["sentences"])
    code = ours.code(channels_last(fake))
    logits = (
        ours.unconditional_logits(code),
        ours.conditional(code, features["sentences"].numpy()),
    )
    compare(
        losses.generator_loss(*logits, scale=config.gan_loss_scale), expected
    )


def test_kl_loss(features):
    mu, logvar = features["images"], features["sentences"]
    expected = peer_losses.kl_loss(mu, logvar).item()
    found = losses.kl_loss(mu.numpy(), logvar.numpy())
    assert float(found) == pytest.approx(expected, rel=RELATIVE)
