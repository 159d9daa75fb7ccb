"""The text encoder against an LSTM written with numpy."""

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models.text_encoder import TextEncoder

LENGTHS = [5, 1, 3]
TOKENS = [[4, 2, 9, 1, 3], [6, 0, 0, 0, 0], [7, 7, 2, 0, 0]]


def make(**options) -> TextEncoder:
    settings = {
        "vocabulary_size": 10,
        "embedding_size": 4,
        "feature_size": 6,
        "dropout": 0.0,
    }
    network = TextEncoder(**settings | options)
    network.build()
    rng = np.random.default_rng(3)
    # Far from zero and all different, so that no gate can take another's.
    network.set_weights(
        [rng.normal(0, 0.7, w.shape) for w in network.get_weights()]
    )
    return network


def lstm(x, kernel, recurrent, bias):
    """States [T, units] of one sequence [T, E]; gates i, f, c, o."""
    units = len(recurrent)
    h, c, states = np.zeros(units), np.zeros(units), []
    for row in x:
        gates = row @ kernel + h @ recurrent + bias
        i, f, candidate, o = np.split(gates, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(candidate)
        h = o * np.tanh(c)
        states.append(h)
    return np.array(states)


def encode(network, tokens, lengths, factors=None):
    """Word and sentence features by numpy, one caption after the other.

    `factors` [B, T, E], if given, multiply the embeddings.
    """
    table, *weights = (w.numpy().astype(np.float64) for w in network.weights)
    T, D = len(tokens[0]), network.feature_size
    words, sentences = np.zeros((len(tokens), T, D)), []
    for b, (ids, length) in enumerate(zip(tokens, lengths, strict=True)):
        x = table[ids[:length]]
        if factors is not None:
            x = x * factors[b, :length]
        forward = lstm(x, *weights[:3])
        backward = lstm(x[::-1], *weights[3:])
        words[b, :length] = np.concatenate([forward, backward[::-1]], axis=1)
        sentences.append(np.concatenate([forward[-1], backward[-1]]))
    return words, np.array(sentences)


def call(network, tokens=TOKENS, lengths=LENGTHS, **options):
    return network(tf.constant(tokens), tf.constant(lengths), **options)


def test_features_are_a_numpy_lstms_over_true_words_only():
    network = make()
    words, sentences = encode(network, TOKENS, LENGTHS)
    found = call(network)
    np.testing.assert_allclose(found["word_features"], words, atol=1e-5)
    np.testing.assert_allclose(found["sentence_features"], sentences, atol=1e-5)
    for b, length in enumerate(LENGTHS):
        assert not found["word_features"][b, length:].numpy().any()
    assert {str(value.dtype.name) for value in found.values()} == {"float32"}


def test_what_stands_at_padding_does_not_matter():
    network = make()
    garbage = [
        ids[:length] + [8] * (5 - length)
        for ids, length in zip(TOKENS, LENGTHS, strict=True)
    ]
    for name, value in call(network).items():
        changed = call(network, garbage)[name]
        np.testing.assert_array_equal(changed, value, err_msg=name)


def test_longer_padding_does_not_matter():
    network = make()
    longer = [[*ids, 0, 0] for ids in TOKENS]
    found = call(network, longer)
    expected = call(network)
    np.testing.assert_allclose(
        found["sentence_features"], expected["sentence_features"], atol=1e-6
    )
    np.testing.assert_allclose(
        found["word_features"][:, :5], expected["word_features"], atol=1e-6
    )


@pytest.mark.parametrize("use_cudnn", ["auto", False])
def test_a_graph_gives_what_eager_gives(use_cudnn):
    network = make(use_cudnn=use_cudnn)
    signature = [tf.TensorSpec([None, 5], tf.int32)]
    signature += [tf.TensorSpec([None], tf.int32)]
    graph = tf.function(network.call, input_signature=signature)
    found = graph(tf.constant(TOKENS), tf.constant(LENGTHS))
    for name, value in call(network).items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_use_cudnn_reaches_both_directions():
    network = make(use_cudnn=False)
    lstm_layers = (network.lstm.forward_layer, network.lstm.backward_layer)
    assert [layer.use_cudnn for layer in lstm_layers] == [False, False]


def test_dropout_drops_numbers_of_embeddings_where_draws_are_low():
    network = make(dropout=0.25)
    draws = np.random.default_rng(4).uniform(size=(3, 5, 4))
    assert 0.1 < (draws < 0.25).mean() < 0.4  # some, and not all of a word
    factors = np.where(draws < 0.25, 0.0, 1 / 0.75)
    words, sentences = encode(network, TOKENS, LENGTHS, factors)
    found = call(network, dropout_draws=tf.constant(draws, tf.float32))
    np.testing.assert_allclose(found["word_features"], words, atol=1e-5)
    np.testing.assert_allclose(found["sentence_features"], sentences, atol=1e-5)


def test_without_dropout_draws_do_not_matter():
    network = make(dropout=0.0)
    found = call(network, dropout_draws=tf.zeros([3, 5, 4]))
    for name, value in call(network).items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    ("vocabulary_size", "published"), [(5450, 2_075_320), (27297, 8_629_420)]
)
def test_parameters_are_the_published_ones(vocabulary_size, published):
    network = TextEncoder(vocabulary_size=vocabulary_size)
    network.build()
    # PyTorch's LSTM has two biases of 4 x 128 a direction and adds them up;
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
