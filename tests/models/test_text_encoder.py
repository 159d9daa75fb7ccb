"""The text encoder against the PyTorch reference."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.pretrained import layouts
from tests.reference import networks
from tests.reference.pairing import give, rows

LENGTHS = [5, 1, 3]
TOKENS = [[4, 2, 9, 1, 3], [6, 0, 0, 0, 0], [7, 7, 2, 0, 0]]


def make(sizes=networks.TINY, **options):
    """The network, and the reference whose weights it has."""
    reference = networks.TextEncoder(sizes)
    networks.randomize(reference, 1)
    names = ("vocabulary_size", "embedding_size", "feature_size")
    network = TextEncoder(**{k: sizes[k] for k in names} | options)
    network.build()
    give(layouts.text_encoder(network), reference)
    return network, reference.requires_grad_(False)


def call(network, tokens=TOKENS, lengths=LENGTHS, **options):
    return network(tf.constant(tokens), tf.constant(lengths), **options)


@pytest.mark.parametrize(
    "sizes", [networks.TINY, networks.CUB, networks.COCO], ids=len
)
def test_features_equal_those_of_the_reference(sizes):
    network, reference = make(sizes)
    words, sentences = reference(torch.tensor(TOKENS), torch.tensor(LENGTHS))
    found = call(network)
    assert {x.dtype.name for x in found.values()} == {"float32"}
    np.testing.assert_allclose(found["word_features"], rows(words), atol=1e-5)
    np.testing.assert_allclose(found["sentence_features"], sentences, atol=1e-5)
    for b, length in enumerate(LENGTHS):
        assert not found["word_features"][b, length:].numpy().any()


def test_padding_tokens_and_longer_padding_do_not_matter():
    network, _ = make()
    expected = call(network)
    garbage = [
        ids[:length] + [8] * (5 - length)
        for ids, length in zip(TOKENS, LENGTHS, strict=True)
    ]
    longer = call(network, [[*ids, 0, 0] for ids in TOKENS])
    longer["word_features"] = longer["word_features"][:, :5]
    for name, value in expected.items():
        np.testing.assert_array_equal(call(network, garbage)[name], value)
        np.testing.assert_allclose(longer[name], value, atol=1e-6)


@pytest.mark.parametrize("use_cudnn", ["auto", False])
def test_graph_and_eager_outputs_are_equal(use_cudnn):
    network, _ = make(use_cudnn=use_cudnn)
    directions = (network.lstm.forward_layer, network.lstm.backward_layer)
    assert {layer.use_cudnn for layer in directions} == {use_cudnn}
    signature = [tf.TensorSpec([None, 5], tf.int32)]
    signature += [tf.TensorSpec([None], tf.int32)]
    graph = tf.function(network.call, input_signature=signature)
    found = graph(tf.constant(TOKENS), tf.constant(LENGTHS))
    for name, value in call(network).items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.25, 0.0])
def test_dropout_zeroes_embeddings_where_the_noise_is_low(dropout):
    network, reference = make(dropout=dropout)
    noise = np.random.default_rng(4).uniform(size=(3, 5, 8))
    factors = np.where(noise < dropout, 0.0, 1 / (1 - dropout))
    words, sentences = reference(
        torch.tensor(TOKENS),
        torch.tensor(LENGTHS),
        torch.tensor(factors, dtype=torch.float32),
    )
    found = call(network, dropout_draws=tf.constant(noise, tf.float32))
    np.testing.assert_allclose(found["word_features"], rows(words), atol=1e-5)
    np.testing.assert_allclose(found["sentence_features"], sentences, atol=1e-5)


@pytest.mark.parametrize(
    ("vocabulary_size", "published"), [(5450, 2_075_320), (27297, 8_629_420)]
)
def test_parameter_counts_are_the_published_ones(vocabulary_size, published):
    network = TextEncoder(vocabulary_size=vocabulary_size)
    network.build()
    # PyTorch's LSTM has two biases of 4 x 128 a direction and adds them;
    # Keras's has their sum.
    assert network.count_params() + 2 * 512 == published
    assert len(network.trainable_variables) == len(network.weights)


def test_embeddings_start_uniform():
    network = TextEncoder(vocabulary_size=1000)
    network.build()
    table = network.embedding.embeddings.numpy()
    assert np.abs(table).max() <= 0.1
    assert table.std() == pytest.approx(0.2 / 12**0.5, rel=0.01)
    assert table.mean() == pytest.approx(0.0, abs=1e-3)
