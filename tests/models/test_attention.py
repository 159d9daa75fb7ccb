"""Both attentions against loops written from Eq. 2 and Eq. 7-9."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models import attention

GARBAGE = [np.nan, np.inf, -3e38, 7.0]


def softmax(x):
    x = np.exp(x - np.max(x))
    return x / x.sum()


def numeric_gradient(function, x, step=1e-6):
    """Central differences of a float64 function of one array."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        high, low = x.copy(), x.copy()
        high[place] += step
        low[place] -= step
        gradient[place] = (function(high) - function(low)) / (2 * step)
    return gradient


def read_words(queries, words, lengths):
    """Eq. 2: contexts and weights, place by place."""
    B, N, C = queries.shape
    context = np.zeros([B, N, C])
    weights = np.zeros([B, N, words.shape[1]])
    for b in range(B):
        true = words[b, : lengths[b]]
        for j in range(N):
            beta = softmax(np.array([queries[b, j] @ e for e in true]))
            weights[b, j, : lengths[b]] = beta
            context[b, j] = sum(w * e for w, e in zip(beta, true, strict=True))
    return context, weights


def read_regions(words, regions, lengths, gamma1):
    """Eq. 7-9: contexts and weights of the true words, pair by pair."""
    (I, N, D), (S, T, _) = regions.shape, words.shape
    context, weights = np.zeros([I, S, T, D]), np.zeros([I, S, T, N])
    for i, s in np.ndindex(I, S):
        true = words[s, : lengths[s]]
        similarity = np.array([[e @ v for v in regions[i]] for e in true])
        shares = np.stack([softmax(column) for column in similarity.T], 1)
        for t in range(lengths[s]):
            alpha = softmax(gamma1 * shares[t])
            weights[i, s, t] = alpha
            for a, v in zip(alpha, regions[i], strict=True):
                context[i, s, t] += a * v
    return context, weights


def with_garbage(words, lengths, garbage=GARBAGE):
    """The same words, with numbers at padding that must not matter."""
    words = words.copy()
    for row, length in enumerate(lengths):
        for t in range(length, words.shape[1]):
            words[row, t] = garbage[(row + t) % len(garbage)]
    return words


def is_padding(lengths, T):
    return np.arange(T) >= np.array(lengths)[:, None]


def word_case(seed=0):
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=[3, 5, 4])
    words = rng.normal(size=[3, 4, 4])
    return queries, words, [2, 4, 1]


def test_word_context_is_eq_2():
    queries, words, lengths = word_case()
    expected = read_words(queries, words, lengths)
    got = attention.word_context(
        tf.constant(queries, "float32"),
        tf.constant(with_garbage(words, lengths), "float32"),
        tf.constant(lengths),
    )
    np.testing.assert_allclose(got[0], expected[0], atol=2e-6)
    np.testing.assert_allclose(got[1], expected[1], atol=2e-6)
    assert not np.any(got[1].numpy()[:, 0][is_padding(lengths, 4)])
    # A single word is read whole, everywhere.
    np.testing.assert_array_equal(got[1][2, :, 0], np.ones(5))


def test_word_context_gradients():
    queries, words, lengths = word_case(1)
    upstream = np.random.default_rng(2).normal(size=queries.shape)

    def total(queries, words):
        return np.sum(upstream * read_words(queries, words, lengths)[0])

    q = tf.constant(queries, "float32")
    w = tf.constant(with_garbage(words, lengths), "float32")
    with tf.GradientTape() as tape:
        tape.watch([q, w])
        context, _ = attention.word_context(q, w, tf.constant(lengths))
        value = tf.reduce_sum(context * tf.constant(upstream, "float32"))
    by_queries, by_words = tape.gradient(value, [q, w])
    expected = numeric_gradient(lambda x: total(x, words), queries)
    np.testing.assert_allclose(by_queries, expected, atol=1e-5)
    expected = numeric_gradient(lambda x: total(queries, x), words)
    np.testing.assert_allclose(by_words, expected, atol=1e-5)
    assert not np.any(by_words.numpy()[is_padding(lengths, 4)])


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
    exact = read_words(
        tf.cast(queries, "float64").numpy(),
        tf.cast(words, "float64").numpy(),
        [2],
    )
    np.testing.assert_allclose(weights, exact[1], atol=1e-6)


def test_word_context_without_words_is_finite():
    context, _ = attention.word_context(
        tf.ones([1, 2, 3]), tf.ones([1, 4, 3]), tf.constant([0])
    )
    np.testing.assert_array_equal(context, np.zeros([1, 2, 3]))


def layer_case(dtype="float32"):
    layer = attention.WordAttention(8, dtype=dtype)
    rng = np.random.default_rng(3)
    h = tf.constant(rng.normal(size=[3, 2, 5, 8]), "float32")
    words = tf.constant(rng.normal(size=[3, 6, 16]), "float32")
    return layer, h, words, tf.constant([6, 1, 3])


def test_layer_projects_and_keeps_the_map():
    layer, h, words, lengths = layer_case()
    context, weights = layer(h, words, lengths)
    assert layer.count_params() == 16 * 8  # U has no bias
    assert context.shape == (3, 2, 5, 8)
    assert weights.shape == (3, 2, 5, 6)
    expected = read_words(
        h.numpy().reshape(3, 10, 8).astype("float64"),
        words.numpy().astype("float64") @ layer.weights[0].numpy(),
        lengths.numpy(),
    )
    np.testing.assert_allclose(
        context, expected[0].reshape(3, 2, 5, 8), atol=1e-5
    )
    np.testing.assert_allclose(
        weights, expected[1].reshape(3, 2, 5, 6), atol=1e-5
    )


def test_layer_rows_do_not_depend_on_each_other():
    # The released mask gives row b x N + n the words of another sentence.
    layer, h, words, lengths = layer_case()
    garbage = with_garbage(words.numpy(), lengths.numpy(), [1e3, -9.0])
    together, _ = tf.function(layer)(h, tf.constant(garbage), lengths)
    for b, length in enumerate(lengths.numpy()):
        T = max(length, 2)  # Keras warns of a softmax over one word
        alone, _ = layer(h[b : b + 1], words[b : b + 1, :T], lengths[b : b + 1])
        np.testing.assert_allclose(together[b], alone[0], atol=1e-5)


def test_layer_in_mixed_precision():
    layer, h, words, lengths = layer_case("mixed_bfloat16")
    context, weights = layer(h, words, lengths)
    assert (context.dtype, weights.dtype) == ("bfloat16", "float32")
    assert layer.weights[0].dtype == "float32"


# Keras 3.15 reads variables by an __array__ that NumPy 2 deprecates.
@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
def test_layer_is_saved_with_its_weights(tmp_path):
    layer, h, words, lengths = layer_case()
    inputs = [
        keras.Input([2, 5, 8]),
        keras.Input([6, 16]),
        keras.Input([], dtype="int32"),
    ]
    model = keras.Model(inputs, layer(*inputs))
    model.save(tmp_path / "attention.keras")
    again = keras.models.load_model(
        tmp_path / "attention.keras",
        custom_objects={"WordAttention": attention.WordAttention},
    )
    for old, new in zip(
        model([h, words, lengths]), again([h, words, lengths]), strict=True
    ):
        np.testing.assert_array_equal(old, new)


def region_case(N, D, seed=4):
    rng = np.random.default_rng(seed)
    words, regions = rng.normal(size=[2, 3, D]), rng.normal(size=[3, N, D])
    return words, regions, [3, 1]


def region_context(words, regions, lengths, gamma1):
    """Contexts from the weights under test, and the weights."""
    weights, _ = attention.region_attention(words, regions, lengths, gamma1)
    return tf.einsum("istn,ind->istd", weights, regions), weights


def test_region_attention_is_eq_7_to_9():
    words, regions, lengths = region_case(N=5, D=4)
    expected = read_regions(words, regions, lengths, gamma1=5.0)
    got = region_context(
        tf.constant(with_garbage(words, lengths), "float32"),
        tf.constant(regions, "float32"),
        tf.constant(lengths),
        gamma1=5.0,
    )
    true = ~is_padding(lengths, 3)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(
            ours.numpy()[:, true], theirs[:, true], atol=2e-6
        )
        assert np.all(np.isfinite(ours))


def test_region_attention_gives_similarities_of_eq_7():
    words, regions, lengths = region_case(N=5, D=4)
    _, got = attention.region_attention(
        tf.constant(with_garbage(words, lengths), "float32"),
        tf.constant(regions, "float32"),
        tf.constant(lengths),
        gamma1=5.0,
    )
    expected = np.einsum("ind,std->istn", regions, words)
    expected[:, is_padding(lengths, 3)] = 0
    np.testing.assert_allclose(got, expected, atol=2e-6)


def test_region_attention_gradients():
    words, regions, lengths = region_case(N=4, D=3)
    true = ~is_padding(lengths, 3)
    rng = np.random.default_rng(5)
    upstream = rng.normal(size=[3, 2, 3, 3]) * true[:, :, None]

    def total(words, regions):
        context, _ = read_regions(words, regions, lengths, gamma1=2.0)
        return np.sum(upstream * context)

    w = tf.constant(with_garbage(words, lengths), "float32")
    v = tf.constant(regions, "float32")
    with tf.GradientTape() as tape:
        tape.watch([w, v])
        context, _ = region_context(w, v, tf.constant(lengths), 2.0)
        value = tf.reduce_sum(context * tf.constant(upstream, "float32"))
    by_words, by_regions = tape.gradient(value, [w, v])
    expected = numeric_gradient(lambda x: total(x, regions), words)
    np.testing.assert_allclose(by_words, expected, atol=1e-5)
    expected = numeric_gradient(lambda x: total(words, x), regions)
    np.testing.assert_allclose(by_regions, expected, atol=1e-5)


@pytest.mark.parametrize(("N", "D"), [(4, 6), (6, 6), (7, 3)])
def test_context_squares(N, D):
    rng = np.random.default_rng(6)
    weights, regions = rng.random([2, 3, 5, N]), rng.normal(size=[2, N, D])
    got = attention.context_squares(
        tf.constant(weights, "float32"), tf.constant(regions, "float32")
    )
    expected = np.sum(np.einsum("istn,ind->istd", weights, regions) ** 2, -1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
