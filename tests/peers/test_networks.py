"""What the networks compute, where it is known without them."""

import numpy as np
import pytest
import torch

from peers import attention, generator, networks, sizes
from peers.image_encoder import CNN_ENCODER
from peers.inception import Mixed
from peers.text_encoder import RNN_ENCODER

B, T = 3, 5
LENGTHS = torch.tensor([2, 5, 3])


@pytest.fixture(scope="module")
def tiny():
    return networks.build(sizes.TINY)


def captions():
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 20, (B, T), generator=draw)
    return ids.where(torch.arange(T) < LENGTHS[:, None], 0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm(x, w, end=""):
    """States [T, H] of one direction, gates in the order i, f, g, o."""
    H = w[f"weight_hh_l0{end}"].shape[1]
    h, c, states = np.zeros(H), np.zeros(H), []
    for step in x:
        i, f, g, o = np.split(
            w[f"weight_ih_l0{end}"] @ step
            + w[f"bias_ih_l0{end}"]
            + w[f"weight_hh_l0{end}"] @ h
            + w[f"bias_hh_l0{end}"],
            4,
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def test_text_encoder_against_loop(tiny):
    network = tiny.text_encoder
    ids = captions()
    words, sentences = network(ids, LENGTHS)
    assert words.shape == (B, 16, T)
    w = {k: v.numpy() for k, v in network.rnn.state_dict().items()}
    for b, length in enumerate(LENGTHS.tolist()):
        x = network.encoder.weight.numpy()[ids[b, :length]]
        ahead = lstm(x, w)
        back = lstm(x[::-1], w, "_reverse")
        expected = np.concatenate([ahead, back[::-1]], axis=1)
        found = words[b].T.numpy()
        np.testing.assert_allclose(found[:length], expected, atol=2e-6)
        assert not found[length:].any()
        np.testing.assert_allclose(
            sentences[b].numpy(),
            np.concatenate([ahead[-1], back[-1]]),
            atol=2e-6,
        )


def test_text_encoder_starts_as_released():
    embedding = RNN_ENCODER(500, 30, 16).encoder.weight.detach()
    assert 0.099 < embedding.abs().max() <= 0.1
    assert embedding.std() == pytest.approx(0.2 / 12**0.5, rel=0.02)


def test_image_encoder_outputs(tiny):
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    regions, codes = tiny.image_encoder(images)
    assert regions.shape == (2, 16, 17, 17)
    assert codes.shape == (2, 16)
    assert regions.isfinite().all()
    assert regions.std() > 1e-3
    weight = CNN_ENCODER(64, 1 / 16).emb_features.weight
    assert 0.099 < weight.abs().max() <= 0.1


def test_image_encoder_resizes_with_aligned_corners(tiny, monkeypatch):
    """A ramp from corner to corner stays one; half-pixel flattens its ends."""
    seen = {}

    def trunk_features(images):
        seen["row"] = images[0, 0, 0].numpy()
        return torch.zeros(1, 48, 17, 17), torch.zeros(1, 128)

    monkeypatch.setattr(tiny.image_encoder, "trunk_features", trunk_features)
    ramp = torch.linspace(-1, 1, 256).expand(1, 3, 256, 256)
    tiny.image_encoder(ramp)
    aligned = np.linspace(-1, 1, 299)
    np.testing.assert_allclose(seen["row"], aligned, atol=1e-5)
    monkeypatch.setattr(tiny.image_encoder, "align_corners", False)
    tiny.image_encoder(ramp)
    centres = ((np.arange(299) + 0.5) * 256 / 299 - 0.5).clip(0, 255)
    np.testing.assert_allclose(seen["row"], centres / 127.5 - 1, atol=1e-5)


def test_average_pool_counts_padding():
    block = Mixed(1, (("average", ("branch_pool", 1, 1)),), width=1.0).eval()
    block.branch_pool.conv.weight.data.fill_(1.0)
    pooled = block(torch.ones(1, 1, 4, 4))[0, 0].detach() * (1 + 1e-3) ** 0.5
    corner, edge, inside = pooled[0, 0], pooled[0, 1], pooled[1, 1]
    expected = torch.tensor([4 / 9, 6 / 9, 1.0])
    torch.testing.assert_close(torch.stack([corner, edge, inside]), expected)


def test_pooled_features_are_means_of_the_last_maps(tiny):
    maps = []
    hook = tiny.image_encoder.Mixed_7c.register_forward_hook(
        lambda module, inputs, output: maps.append(output)
    )
    _, pooled = tiny.image_encoder.trunk_features(torch.zeros(1, 3, 299, 299))
    hook.remove()
    assert maps[0].shape == (1, 128, 8, 8)
    torch.testing.assert_close(pooled, maps[0].mean(dim=(2, 3)))


def test_generator_outputs(tiny):
    words, sentences = tiny.text_encoder(captions(), LENGTHS)
    mask = attention.padding_mask(captions())
    given = (torch.randn(B, 8), torch.randn(B, 6), sentences, words, mask)
    with torch.no_grad():
        made = tiny.generator(*given)
    assert [tuple(x.shape) for x in made.images] == [
        (B, 3, size, size) for size in (64, 128, 256)
    ]
    assert [tuple(x.shape) for x in made.attention] == [
        (B, T, size, size) for size in (64, 128)
    ]
    assert made.mu.shape == made.logvar.shape == (B, 6)
    for images in made.images:
        assert images.abs().max() <= 1.0
    dcgan = networks.generator(sizes.TINY, dcgan=True)
    with torch.no_grad():
        made = dcgan(*given)
    assert [tuple(x.shape) for x in made.images] == [(B, 3, 256, 256)]
    assert len(made.attention) == 2


def test_conditioning_against_numpy():
    network = generator.CA_NET(16, 6)
    sentence, eps = torch.randn(B, 16), torch.randn(B, 6)
    condition, mu, logvar = (x.detach() for x in network(sentence, eps))
    raw = sentence.numpy() @ network.fc.weight.detach().numpy().T
    raw = raw + network.fc.bias.detach().numpy()
    gated = raw[:, :12] * sigmoid(raw[:, 12:])
    np.testing.assert_allclose(mu, gated[:, :6], atol=1e-5)
    np.testing.assert_allclose(logvar, gated[:, 6:], atol=1e-5)
    expected = gated[:, :6] + np.exp(gated[:, 6:] / 2) * eps.numpy()
    np.testing.assert_allclose(condition, expected, atol=1e-5)


def test_condition_comes_before_noise(tiny):
    seen = []
    hook = tiny.generator.h_net1.fc.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    z, condition = torch.full((2, 8), 2.0), torch.full((2, 6), 1.0)
    with torch.no_grad():
        tiny.generator.h_net1(z, condition)
    hook.remove()
    assert seen[0][0].tolist() == [1.0] * 6 + [2.0] * 8


def test_discriminator_outputs(tiny):
    for network, size in zip(tiny.discriminators, (64, 128, 256), strict=True):
        with torch.no_grad():
            code = network(torch.randn(2, 3, size, size))
            logits = network.COND_DNET(code, torch.randn(2, 16))
            alone = network.UNCOND_DNET(code)
        assert code.shape == (2, 32, 4, 4)
        assert logits.shape == alone.shape == (2,)
    (dcgan,) = networks.discriminators(sizes.TINY, dcgan=True)
    assert dcgan.UNCOND_DNET is None


def test_initialize_is_orthogonal():
    network = networks.generator(sizes.TINY).requires_grad_(False)
    networks.initialize(network, seed=0)
    weight = network.h_net1.fc[0].weight  # [2048, 14]
    torch.testing.assert_close(weight.T @ weight, torch.eye(14))
    filters = network.h_net2.att.conv_context.weight.flatten(1)  # [4, 16]
    torch.testing.assert_close(filters @ filters.T, torch.eye(4))
    gamma = network.h_net1.fc[1].weight
    assert gamma.mean() == pytest.approx(1.0, abs=0.002)
    assert gamma.std() == pytest.approx(0.02, rel=0.1)
    assert not network.h_net1.fc[1].bias.any()
    assert not network.ca_net.fc.bias.any()


def test_same_seed_same_networks():
    first, second = (networks.build(sizes.TINY, seed=4) for _ in range(2))
    other = networks.build(sizes.TINY, seed=5)
    for one, same, different in zip(
        (*first[:3], *first.discriminators),
        (*second[:3], *second.discriminators),
        (*other[:3], *other.discriminators),
        strict=True,
    ):
        states = [x.state_dict() for x in (one, same, different)]
        for name, value in states[0].items():
            assert value.equal(states[1][name]), name
        assert any(
            not value.equal(states[2][name])
            for name, value in states[0].items()
        )
