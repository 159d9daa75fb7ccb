"""Whole stages of G, D and Inception against numpy, BN in inference mode."""

import numpy as np
import pytest
import torch

from peers import inception, networks, sizes

D, GF, DF = 16, 4, 4


@pytest.fixture(scope="module")
def tiny():
    """Networks with random weights and statistics, in inference mode."""
    built = networks.build(sizes.TINY)
    for i, network in enumerate((built.generator, *built.discriminators)):
        networks.randomize(network, seed=10 + i)
        network.eval().requires_grad_(False)
    return built


def weights(network):
    """Of a network by name, as float64."""
    return {k: v.numpy().astype(float) for k, v in network.state_dict().items()}


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def convolve(x, kernel, stride=1, padding=1):
    """[C, H, W] -> [O, h, w]; a kernel [O, C, k, k]."""
    k = kernel.shape[-1]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    rows, columns = (
        range(0, side - k + 1, stride) for side in (x.shape[1], x.shape[2])
    )
    return np.array(
        [
            [
                np.tensordot(kernel, x[:, r : r + k, c : c + k], axes=3)
                for c in columns
            ]
            for r in rows
        ]
    ).transpose(2, 0, 1)


def norm(x, w, name, epsilon=1e-5):
    """BN of [C, ...] by the running statistics."""
    mean, variance, gamma, beta = (
        w[f"{name}.{part}"].reshape(-1, *[1] * (x.ndim - 1))
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def glu(x):
    half = len(x) // 2
    return x[:half] * sigmoid(x[half:])


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def up(x, w, name):
    x = x.repeat(2, axis=1).repeat(2, axis=2)
    return glu(norm(convolve(x, w[f"{name}.1.weight"]), w, f"{name}.2"))


def attend(h, words, projection):
    """Eq. 2 of maps [C, H, W] and words [D, T]."""
    projected = projection[:, :, 0, 0] @ words
    scores = np.tensordot(projected, h, axes=(0, 0))  # [T, H, W]
    beta = np.exp(scores) / np.exp(scores).sum(axis=0)
    return np.tensordot(projected, beta, axes=1)


def close(found, expected):
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4, rtol=1e-4)


def test_first_stage(tiny):
    network = tiny.generator.h_net1
    z, condition = torch.randn(1, 8), torch.randn(1, 6)
    w = weights(network)
    given = np.concatenate([condition[0].numpy(), z[0].numpy()])
    x = glu(norm(w["fc.0.weight"] @ given, w, "fc.1"))
    x = x.reshape(16 * GF, 4, 4)
    for i in (1, 2, 3, 4):
        x = up(x, w, f"upsample{i}")
    close(network(z, condition)[0], x)


def test_next_stage(tiny):
    network = tiny.generator.h_net2
    h, words = torch.randn(1, GF, 6, 6), torch.randn(1, D, 5)
    w = weights(network)
    x, e = h[0].numpy(), words[0].numpy()
    x = np.concatenate([x, attend(x, e, w["att.conv_context.weight"])])
    block = "residual.0.block"
    y = glu(norm(convolve(x, w[f"{block}.0.weight"]), w, f"{block}.1"))
    x = x + norm(convolve(y, w[f"{block}.3.weight"]), w, f"{block}.4")
    close(network(h, words)[0][0], up(x, w, "upsample"))


def test_image(tiny):
    network = tiny.generator.img_net3
    h = torch.randn(1, GF, 6, 6)
    kernel = weights(network)["img.0.weight"]
    close(network(h)[0], np.tanh(convolve(h[0].numpy(), kernel)))


def down(x, w, name, last):
    """4x4 convolution, BN and LeakyReLU as named in a file."""
    x = convolve(x, w[f"{name}.weight"], stride=2)
    return leaky(norm(x, w, last))


def code_of(x, w):
    """The code [8 DF, 4, 4] of a picture of any of the three sizes."""
    sixteen = "img_code_s16"
    x = leaky(convolve(x, w[f"{sixteen}.0.weight"], stride=2))
    for i in (2, 5, 8):
        x = down(x, w, f"{sixteen}.{i}", f"{sixteen}.{i + 1}")
    for half in ("img_code_s32", "img_code_s64"):
        if f"{half}.0.weight" in w:
            x = down(x, w, f"{half}.0", f"{half}.1")
    for name in ("img_code_s32_1", "img_code_s64_1", "img_code_s64_2"):
        if f"{name}.0.weight" in w:
            x = convolve(x, w[f"{name}.0.weight"])
            x = leaky(norm(x, w, f"{name}.1"))
    return x


def logit(code, w, name):
    kernel, (bias,) = (
        w[f"{name}.outlogits.0.{part}"] for part in ("weight", "bias")
    )
    return np.sum(kernel[0] * code) + bias


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_discriminator(tiny, stage):
    network = tiny.discriminators[stage]
    size = 64 * 2**stage
    image, sentence = torch.rand(1, 3, size, size) * 2 - 1, torch.randn(1, D)
    w = weights(network)
    code = code_of(image[0].numpy(), w)
    assert code.shape == (8 * DF, 4, 4)
    found = network(image)
    close(found[0], code)
    alone = network.UNCOND_DNET(found)
    close(alone[0], logit(code, w, "UNCOND_DNET"))
    tiled = np.broadcast_to(sentence[0].numpy()[:, None, None], (D, 4, 4))
    joint = "COND_DNET.jointConv"
    code = np.concatenate([code, tiled])
    code = convolve(code, w[f"{joint}.0.weight"])
    code = leaky(norm(code, w, f"{joint}.1"))
    both = network.COND_DNET(found, sentence)
    close(both[0], logit(code, w, "COND_DNET"))


def test_inception_unit():
    unit = inception.Unit(3, 5, 3, stride=2).eval().requires_grad_(False)
    networks.randomize(unit, seed=0)
    x, w = torch.randn(1, 3, 9, 9), weights(unit)
    expected = convolve(x[0].numpy(), w["conv.weight"], stride=2, padding=0)
    expected = np.maximum(norm(expected, w, "bn", epsilon=1e-3), 0.0)
    close(unit(x)[0], expected)
