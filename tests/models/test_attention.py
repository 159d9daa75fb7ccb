"""Both attentions against the PyTorch reference, with their gradients."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from attngan_tf.models import attention
from tests.reference import networks

GARBAGE = [np.nan, np.inf, -3e38, 7.0]
LENGTHS = [2, 4, 1]


def with_garbage(words, lengths):
    """The same words, with numbers at padding that must not matter."""
    words = words.copy()
    for row, length in enumerate(lengths):
        for t in range(length, words.shape[1]):
            words[row, t] = GARBAGE[(row + t) % len(GARBAGE)]
    return words


def is_padding(lengths, T):
    return np.arange(T) >= np.array(lengths)[:, None]


def word_case():
    """The layer of Eq. 2 and its reference, of one weight, and inputs."""
    rng = np.random.default_rng(0)
    h = rng.normal(size=[3, 2, 5, 4])
    words = rng.normal(size=[3, 4, 6])
    layer = attention.WordAttention(4)
    layer.build(h.shape, words.shape)
    kernel = rng.normal(size=[6, 4])
    layer.set_weights([kernel])
    reference = networks.WordAttention(4, 6).double()
    weight = torch.tensor(kernel.T[:, :, None, None])
    reference.conv_context.weight = torch.nn.Parameter(weight)
    return layer, reference, h, words


def test_word_attention_and_its_gradients_are_eq_2():
    layer, reference, h, words = word_case()
    given = [
        torch.tensor(x, requires_grad=True)
        for x in (h.transpose(0, 3, 1, 2), words.transpose(0, 2, 1))
    ]
    mask = torch.tensor(is_padding(LENGTHS, 4))
    context, weights = reference(*given, mask)
    upstream = np.random.default_rng(1).normal(size=h.shape)
    (context * torch.tensor(upstream.transpose(0, 3, 1, 2))).sum().backward()

    inputs = [
        tf.constant(h, "float32"),
        tf.constant(with_garbage(words, LENGTHS), "float32"),
    ]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        found = tf.function(layer)(*inputs, tf.constant(LENGTHS))
    gradients = tape.gradient(
        found[0], inputs, tf.constant(upstream, "float32")
    )
    expected = context.detach().permute(0, 2, 3, 1)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    expected = weights.detach().permute(0, 2, 3, 1)
    np.testing.assert_allclose(found[1], expected, atol=1e-5)
    # A single word is read whole, everywhere; padding is not read.
    np.testing.assert_array_equal(found[1][2, ..., 0], np.ones([2, 5]))
    assert not np.any(found[1].numpy()[:, 0, 0][is_padding(LENGTHS, 4)])
    by_h, by_words = (x.grad.numpy() for x in given)
    np.testing.assert_allclose(
        gradients[0], by_h.transpose(0, 2, 3, 1), atol=1e-4
    )
    np.testing.assert_allclose(
        gradients[1], by_words.transpose(0, 2, 1), atol=1e-4
    )
    assert not np.any(gradients[1].numpy()[is_padding(LENGTHS, 4)])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_word_context_is_float32_inside(dtype):
    # Scores of 32 x 60 x 60 are beyond float16; steps of one matter.
    words = np.full([1, 3, 32], 60.0)
    words[0, 1, 0] += 1 / 4
    queries = tf.fill([1, 2, 32], tf.constant(60.0, dtype))
    words = tf.constant(words, dtype)
    context, weights = attention.word_context(
        queries, words, tf.constant([2], "int64")
    )
    assert (context.dtype, weights.dtype) == (dtype, "float32")
    q, e = (tf.cast(x, "float64").numpy() for x in (queries, words))
    scores = q @ e.transpose(0, 2, 1)[:, :, :2]
    exact = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum(
        axis=2, keepdims=True
    )
    np.testing.assert_allclose(weights[:, :, :2], exact, atol=1e-6)


def test_context_of_no_words_is_finite():
    context, _ = attention.word_context(
        tf.ones([1, 2, 3]), tf.ones([1, 4, 3]), tf.constant([0])
    )
    np.testing.assert_array_equal(context, np.zeros([1, 2, 3]))
