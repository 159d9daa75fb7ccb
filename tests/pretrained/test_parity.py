"""Networks with the weights of their peers give the same results."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from paired import channels_last, close, give, released, rows, zero_start
from peers import networks, sizes
from peers.attention import padding_mask

from attngan_tf.models import build
from attngan_tf.models.layers.resizing import resize_aligned
from attngan_tf.pretrained import layouts

B, T = 4, 9
LENGTHS = torch.tensor([9, 3, 6, 1])
TOLERANCE = 1e-4  # pictures are in [-1, 1], logits and features of order 1


class Text(NamedTuple):
    """Captions, and the peer's features of them."""

    token_ids: torch.Tensor  # [B, T]
    words: torch.Tensor  # [B, D, T]
    sentences: torch.Tensor  # [B, D]

    def features(self) -> dict[str, np.ndarray]:
        """What networks here take."""
        return {
            "word_features": rows(self.words),
            "sentence_features": self.sentences.numpy(),
            "lengths": LENGTHS.numpy(),
        }


@pytest.fixture(
    scope="module",
    params=[
        "tiny",
        "cub",
        "dcgan",  # AttnDCGAN of CUB's sizes
        pytest.param("coco", marks=pytest.mark.slow),
    ],
)
def model(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def table(model):
    return {"tiny": sizes.TINY, "coco": sizes.COCO}.get(model, sizes.CUB)


@pytest.fixture(scope="module")
def config(model, table):
    return released(
        "coco" if model == "coco" else "cub",
        table,
        generator="attndcgan" if model == "dcgan" else "attngan",
    )


@pytest.fixture(scope="module")
def text_peer(table):
    network = networks.text_encoder(table)
    networks.randomize(network, 1)
    return network.eval()


@pytest.fixture(scope="module")
def text(table, text_peer) -> Text:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1, table["vocabulary_size"], (B, T), generator=draw)
    ids = ids.where(torch.arange(T) < LENGTHS[:, None], 0)
    with torch.no_grad():
        return Text(ids, *text_peer(ids, LENGTHS))


@pytest.mark.parametrize(
    ("dataset", "sizes"), [("cub", sizes.CUB), ("coco", sizes.COCO)]
)
def test_released_flags_are_of_the_published_sizes(dataset, sizes):
    assert released(dataset, sizes) == released(dataset, {"trunk_size": 299})


def test_text_encoder(table, config, text_peer, text):
    ours = build.text_encoder(config, table["vocabulary_size"])
    give(layouts.text_encoder(ours), text_peer)
    found = ours(text.token_ids.numpy(), LENGTHS.numpy())
    close(found["word_features"], rows(text.words), TOLERANCE)
    close(found["sentence_features"], text.sentences, TOLERANCE)


def as_released(peer, inputs) -> None:
    """The released start, with BN's statistics of these inputs."""
    networks.initialize(peer, 2)
    norms = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
    for module in peer.modules():
        if isinstance(module, norms):
            module.momentum = 1.0
    with torch.no_grad():
        peer.train()(*inputs)


@pytest.mark.parametrize("weights", ["random", "released"])
def test_generator(model, table, config, text, weights):
    if (model, weights) == ("coco", "random"):
        pytest.skip(
            "pictures of such weights are nearly black and white, and the "
            "peer's are 1.4e-4 to 3.2e-4 from its own in float64"
        )
    draw = torch.Generator().manual_seed(3)
    z = torch.randn(B, table["z_size"], generator=draw)
    eps = torch.randn(B, table["condition_size"], generator=draw)
    mask = padding_mask(text.token_ids)
    inputs = z, eps, text.sentences, text.words, mask
    peer = networks.generator(table, model == "dcgan", released_mask=False)
    if weights == "random":
        networks.randomize(peer, 2)
    else:
        as_released(peer, inputs)
    with zero_start():
        ours = build.generator(config)
    give(layouts.generator(ours), peer)
    with torch.no_grad():
        theirs = peer.eval()(*inputs)
    found = ours({**text.features(), "z": z.numpy(), "eps": eps.numpy()})

    expected = {"mu": theirs.mu, "logvar": theirs.logvar}
    for images in theirs.images:
        expected[f"images_{images.shape[-1]}"] = channels_last(images)
    for weights in theirs.attention:
        expected[f"attention_{2 * weights.shape[-1]}"] = weights
    assert set(found) == set(expected)
    assert len(found) == (5 if model == "dcgan" else 7)
    for name, value in expected.items():
        close(found[name], value, TOLERANCE)


def test_discriminators(model, table, config, text):
    with torch.device("meta"):  # without PyTorch's own first weights
        peers = networks.discriminators(table, model == "dcgan")
    with zero_start():
        ours = build.discriminators(config)
    assert list(ours) == ([256] if model == "dcgan" else [64, 128, 256])
    for (size, network), peer in zip(ours.items(), peers, strict=True):
        peer = peer.to_empty(device="cpu").eval()
        networks.randomize(peer, size)
        give(layouts.discriminator(network), peer)
        draw = torch.Generator().manual_seed(4)
        images = torch.rand(B, 3, size, size, generator=draw) * 2 - 1
        found = network({**text.features(), "images": channels_last(images)})
        with torch.no_grad():
            code = peer(images)
            expected = {"conditional": peer.COND_DNET(code, text.sentences)}
            if model != "dcgan":
                expected["unconditional"] = peer.UNCOND_DNET(code)
        assert set(found) == set(expected)
        for name, value in expected.items():
            close(found[name], value, TOLERANCE)


class Pictures(NamedTuple):
    """Pictures [B, 256, 256, 3], and the peer encoder's features of them."""

    images: np.ndarray
    peer: torch.nn.Module
    regions: np.ndarray
    codes: np.ndarray


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Of the published size; CUB's and COCO's have the same."""
    peer = networks.image_encoder(sizes.CUB)
    networks.randomize(peer, 5)
    draw = torch.Generator().manual_seed(6)
    images = torch.rand(2, 3, 256, 256, generator=draw) * 2 - 1
    with torch.no_grad():
        regions, codes = peer.eval()(images)
    return Pictures(channels_last(images), peer, rows(regions), codes.numpy())


def image_encoder(pictures, **fields):
    ours = build.image_encoder(released("cub", sizes.CUB, **fields), None)
    give(layouts.image_encoder(ours), pictures.peer)
    return ours


@pytest.fixture(scope="module")
def encoder(pictures):
    return image_encoder(pictures)


def image_differences(ours, pictures) -> tuple[float, float]:
    """Greatest differences of regions and codes, by the greatest feature."""
    found = ours(pictures.images)
    pairs = (
        (found["region_features"].numpy(), pictures.regions),
        (found["image_features"].numpy(), pictures.codes),
    )
    assert all(a.shape == b.shape for a, b in pairs)
    return tuple(abs(a - b).max() / abs(b).max() for a, b in pairs)


def test_image_encoder(pictures, encoder):
    assert max(image_differences(encoder, pictures)) < 1e-4


def test_image_encoder_is_another_with_other_pools(pictures):
    other = image_encoder(pictures, inception_padding="keras")
    assert min(image_differences(other, pictures)) > 1e-2


def test_image_encoder_is_another_with_another_resize(
    pictures, encoder, monkeypatch
):
    assert encoder.resize == "aligned_corners"
    monkeypatch.setattr(encoder, "resize", "half_pixel")
    assert min(image_differences(encoder, pictures)) > 1e-3


@pytest.mark.parametrize(
    ("sides", "size"),
    [((64, 64), 299), ((256, 256), 299), ((299, 299), 75), ((20, 33), 48)],
)
def test_resize_with_aligned_corners(sides, size):
    images = torch.rand(2, 3, *sides) * 2 - 1
    # In float64: in float32 PyTorch rounds the places, by up to 5e-5 of these.
    expected = torch.nn.functional.interpolate(
        images.double(), size=(size, size), mode="bilinear", align_corners=True
    )
    found = resize_aligned(channels_last(images), size)
    close(found, channels_last(expected.float()), 1e-5)
