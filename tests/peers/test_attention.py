"""Attention over words and regions against numpy, and its masks."""

import numpy as np
import pytest
import torch

from peers import attention

B, C, D, H, W, T = 2, 3, 5, 2, 3, 4
MASK = torch.tensor([[False, False, True, True], [False] * 4])


@pytest.fixture
def case():
    draw = torch.Generator().manual_seed(0)
    layer = attention.WordAttention(C, D, released_mask=False)
    h = torch.randn(B, C, H, W, generator=draw)
    words = torch.randn(B, D, T, generator=draw)
    return layer, h, words


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def test_word_attention_against_loop(case):
    layer, h, words = case
    contexts, weights = (x.detach().numpy() for x in layer(h, words, MASK))
    U = layer.conv_context.weight.detach().numpy()[:, :, 0, 0]
    for b, length in ((0, 2), (1, 4)):
        projected = U @ words[b, :, :length].numpy()  # [C, t]
        for y in range(H):
            for x in range(W):
                beta = softmax(h[b, :, y, x].numpy() @ projected)
                np.testing.assert_allclose(
                    contexts[b, :, y, x], projected @ beta, atol=1e-5
                )
                np.testing.assert_allclose(
                    weights[b, :length, y, x], beta, atol=1e-6
                )
                assert not weights[b, length:, y, x].any()


def test_padding_has_no_say_if_masked_correctly(case):
    layer, h, words = case
    before, _ = layer(h, words, MASK)
    words = words.masked_fill(MASK[:, None], 100.0)
    after, _ = layer(h, words, MASK)
    torch.testing.assert_close(before, after)
    unmasked, _ = layer(h, words)
    assert not torch.allclose(before, unmasked)


def test_released_mask_order():
    """Row b * Q + q gets the mask of sentence (b * Q + q) mod B."""
    for Q in (4, 5):
        released = attention.tiled_mask(MASK, Q)
        correct = attention.tiled_mask(MASK, Q, released=False)
        for b in range(B):
            for q in range(Q):
                row = b * Q + q
                assert released[row].equal(MASK[row % B])
                assert correct[row].equal(MASK[b])


def test_released_mask_leaks_and_cuts(case):
    """With two captions, every other place is masked as the other caption."""
    layer, h, words = case
    layer.released_mask = True
    _, weights = layer(h, words, MASK)
    weights = weights.flatten(2)  # [B, T, Q], Q even
    assert not weights[:, 2:, 0::2].any()  # the mask of the short caption
    assert (weights[:, 2:, 1::2] > 0).all()  # that of the long one


def test_one_caption_or_equal_lengths_hide_the_order(case):
    layer, h, words = case
    mask = MASK[:1].expand(2, -1)
    correct, _ = layer(h, words, mask)
    layer.released_mask = True
    torch.testing.assert_close(layer(h, words, mask)[0], correct)
    torch.testing.assert_close(
        layer(h[:1], words[:1], mask[:1])[0], correct[:1]
    )


def test_padding_mask_is_where_the_id_is_zero():
    ids = torch.tensor([[4, 2, 0, 0], [9, 1, 1, 3]])
    assert attention.padding_mask(ids).equal(MASK)


def test_region_attention_against_loop():
    draw = torch.Generator().manual_seed(1)
    words = torch.randn(D, T, generator=draw)
    regions = torch.randn(B, D, H, W, generator=draw)
    contexts, weights = attention.region_attention(words, regions, 4.0)
    for b in range(B):
        v = regions[b].numpy().reshape(D, H * W)
        s = words.numpy().T @ v  # Eq. 7: [T, N]
        s = np.stack([softmax(column) for column in s.T], axis=1)  # Eq. 8
        for t in range(T):
            alpha = softmax(4.0 * s[t])
            np.testing.assert_allclose(weights[b, t], alpha, atol=1e-6)
            np.testing.assert_allclose(contexts[b, :, t], v @ alpha, atol=1e-5)
