"""The losses against loops written from Eq. 4, 5 and 7-14."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf import losses

GARBAGE = [np.nan, np.inf, -3e38, 7.0]
GAMMAS = {"gamma1": 5.0, "gamma2": 5.0}


def softmax(x):
    x = np.exp(x - np.max(x))
    return x / x.sum()


def cosine(a, b):
    return a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-8)


def word_score(regions, words, gamma1, gamma2, form="paper"):
    """Eq. 7-10 of one image [N, D] and one sentence of true words [T, D]."""
    similarity = np.array([[e @ v for v in regions] for e in words])
    shares = np.stack([softmax(column) for column in similarity.T], axis=1)
    total = 0.0
    for e, row in zip(words, shares, strict=True):
        alpha = softmax(gamma1 * row)
        context = sum(a * v for a, v in zip(alpha, regions, strict=True))
        total += np.exp(gamma2 * cosine(context, e))
    return np.log(total) / (gamma2 if form == "paper" else 1.0)


def word_scores(regions, words, lengths, **settings):
    return np.array(
        [
            [
                word_score(v, e[:length], **settings)
                for e, length in zip(words, lengths, strict=True)
            ]
            for v in regions
        ]
    )


def matching(scores, gamma3, class_ids=None):
    """Eq. 11-13, as means: each row's and each column's own posterior."""
    B = len(scores)
    by_row = by_column = 0.0
    for i in range(B):
        rivals = [
            j
            for j in range(B)
            if j == i or class_ids is None or class_ids[j] != class_ids[i]
        ]
        own = np.exp(gamma3 * scores[i, i])
        by_row -= np.log(own / sum(np.exp(gamma3 * scores[i, rivals])))
        by_column -= np.log(own / sum(np.exp(gamma3 * scores[rivals, i])))
    return by_row / B, by_column / B


def damsm(case, gamma3, class_ids, form):
    """The four terms of Eq. 14."""
    words = word_scores(
        case["region_features"],
        case["word_features"],
        case["lengths"],
        form=form,
        **GAMMAS,
    )
    sentences = np.array(
        [
            [cosine(v, e) for e in case["sentence_features"]]
            for v in case["image_features"]
        ]
    )
    return (
        *matching(words, gamma3, class_ids),
        *matching(sentences, gamma3, class_ids),
    )


def numeric_gradient(function, x, step=1e-6):
    """Central differences of a float64 function of one array."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        high, low = x.copy(), x.copy()
        high[place] += step
        low[place] -= step
        gradient[place] = (function(high) - function(low)) / (2 * step)
    return gradient


def batch(lengths, N=4, D=3, T=3, images=None, seed=0):
    """Features of a batch in float64, by the names of `damsm_loss`."""
    rng = np.random.default_rng(seed)
    S = len(lengths)
    I = images or S
    return {
        "region_features": rng.normal(size=[I, N, D]),
        "image_features": rng.normal(size=[I, D]),
        "word_features": rng.normal(size=[S, T, D]),
        "sentence_features": rng.normal(size=[S, D]),
        "lengths": np.array(lengths, "int32"),
    }


def with_garbage(words, lengths):
    """The same words, with numbers at padding that must not matter."""
    words = words.copy()
    for row, length in enumerate(lengths):
        for t in range(length, words.shape[1]):
            words[row, t] = GARBAGE[(row + t) % len(GARBAGE)]
    return words


def is_padding(lengths, T):
    return np.arange(T) >= np.array(lengths)[:, None]


def tensors(case, dtype="float32"):
    """What the losses see: padding holds garbage."""
    words = with_garbage(case["word_features"], case["lengths"])
    features = {**case, "word_features": words}
    lengths = tf.constant(features.pop("lengths"))
    cast = {k: tf.cast(tf.constant(v), dtype) for k, v in features.items()}
    return {**cast, "lengths": lengths}


def ours(case, dtype="float32", **settings):
    t = tensors(case, dtype)
    return losses.word_scores(
        t["region_features"], t["word_features"], t["lengths"], **settings
    )


def scores_and_gradients(regions, words, lengths, upstream, **settings):
    with tf.GradientTape() as tape:
        tape.watch([regions, words])
        scores = losses.word_scores(regions, words, lengths, **settings)
        value = tf.reduce_sum(scores * upstream)
    return scores, *tape.gradient(value, [regions, words])


# Both ways of computing a context's norm: fewer regions than dims, and more.
@pytest.mark.parametrize(("N", "D"), [(4, 6), (7, 3)])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_word_scores_are_eq_10(N, D, form):
    case = batch([3, 1, 2, 4], N=N, D=D, T=4, images=3)
    settings = {"gamma1": 4.0, "gamma2": 5.0, "form": form}
    expected = word_scores(
        case["region_features"],
        case["word_features"],
        case["lengths"],
        **settings,
    )
    got = ours(case, **settings)
    assert got.shape == (3, 4)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_one_word_reads_the_mean_region():
    case = batch([1, 1], N=5, D=4)
    got = ours(case, **GAMMAS)
    for i, s in np.ndindex(2, 2):
        mean = case["region_features"][i].mean(axis=0)
        expected = cosine(mean, case["word_features"][s, 0])
        np.testing.assert_allclose(got[i, s], expected, atol=1e-6)


def test_a_large_gamma2_takes_the_best_word():
    case = batch([3, 2], N=5, D=4)
    best = word_scores(
        case["region_features"],
        case["word_features"],
        case["lengths"],
        gamma1=5.0,
        gamma2=300.0,
    )
    got = ours(case, gamma1=5.0, gamma2=1e5)
    np.testing.assert_allclose(got, best, atol=0.01)
    assert np.all(np.abs(got) <= 1.0001)


@pytest.mark.parametrize(("N", "D"), [(3, 4), (5, 3)])
def test_word_score_gradients(N, D):
    case = batch([3, 1], N=N, D=D, images=3, seed=1)
    regions, words = case["region_features"], case["word_features"]
    lengths = case["lengths"]
    upstream = np.random.default_rng(2).normal(size=[3, 2])

    def total(regions, words):
        return np.sum(upstream * word_scores(regions, words, lengths, **GAMMAS))

    t = tensors(case)
    _, by_regions, by_words = scores_and_gradients(
        t["region_features"],
        t["word_features"],
        t["lengths"],
        tf.constant(upstream, "float32"),
        **GAMMAS,
    )
    expected = numeric_gradient(lambda x: total(x, words), regions)
    np.testing.assert_allclose(by_regions, expected, atol=2e-5)
    expected = numeric_gradient(lambda x: total(regions, x), words)
    np.testing.assert_allclose(by_words, expected, atol=2e-5)
    assert not np.any(by_words.numpy()[is_padding(lengths, 3)])


def graph_of(regions, words, lengths, upstream, max_elements, **options):
    """Scores and gradients as a graph, for sizes known or not."""
    return tf.function(
        lambda *args: scores_and_gradients(
            *args, max_elements=max_elements, **GAMMAS
        ),
        **options,
    ).get_concrete_function(regions, words, lengths, upstream)


def slice_case():
    case = batch([3, 1, 2, 4, 2], N=4, D=6, T=4, images=3, seed=3)
    t = tensors(case)
    upstream = np.random.default_rng(4).normal(size=[3, 5])
    return (
        t["region_features"],
        t["word_features"],
        t["lengths"],
        tf.constant(upstream, "float32"),
    )


def assert_same(got, expected):
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


# 48 similarities a sentence: slices of one, of two (the last one half
# empty), and of three.
@pytest.mark.parametrize("max_elements", [1, 100, 190])
@pytest.mark.parametrize("known", [True, False])
def test_slices_equal_one_piece(max_elements, known):
    args = slice_case()
    whole = scores_and_gradients(*args, **GAMMAS)
    specs = [
        tf.TensorSpec(
            a.shape if known else [None, *a.shape[1:]],
            a.dtype,
        )
        for a in args[:3]
    ]
    graph = graph_of(*specs, args[3], max_elements)
    assert_same(graph(*args), whole)


def test_slices_equal_one_piece_eagerly():
    args = slice_case()
    whole = scores_and_gradients(*args, **GAMMAS)
    pieces = scores_and_gradients(*args, max_elements=100, **GAMMAS)
    assert_same(pieces, whole)


def test_slices_equal_one_piece_in_xla():
    args = slice_case()
    whole = scores_and_gradients(*args, **GAMMAS)
    graph = graph_of(*args, max_elements=100, jit_compile=True)
    assert_same(graph(*args), whole)


def operations(graph):
    definition = graph.graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes += function.node_def
    return {node.op for node in nodes}


def test_one_piece_has_no_loop():
    args = slice_case()
    loops = {"While", "StatelessWhile"}
    assert not loops & operations(graph_of(*args, max_elements=240))
    assert loops & operations(graph_of(*args, max_elements=239))


MEMORY_PROGRAM = """
import numpy as np
import tensorflow as tf
from attngan_tf import losses
from attngan_tf.benchmarking.memory import peak_rss

def features(B):
    rng = np.random.default_rng(0)
    return (
        tf.constant(0.1 * rng.normal(size=[B, 289, 256]), "float32"),
        tf.constant(rng.normal(size=[B, 18, 256]), "float32"),
        tf.constant(rng.integers(3, 19, B), "int32"),
    )

@tf.function
def step(regions, words, lengths):
    with tf.GradientTape() as tape:
        tape.watch([regions, words])
        scores = losses.word_scores(
            regions, words, lengths, gamma1=5.0, gamma2=5.0
        )
        value = tf.add_n(losses.matching_loss(scores, 10.0))
    return value, tape.gradient(value, [regions, words])

step(*features(2))
inputs = features(256)
before = peak_rss()
value, gradients = step(*inputs)
assert np.isfinite(value) and all(np.all(np.isfinite(g)) for g in gradients)
print(peak_rss() - before)
"""


@pytest.mark.slow
def test_memory_of_a_batch_of_256_is_bounded():
    # One array of all similarities is 1.36 GB, and a step makes a dozen.
    run = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM],
        cwd=pathlib.Path(__file__).parents[1],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 2e9


def test_sentence_scores_are_cosines():
    case = batch([1, 1, 1], D=5, images=2)
    case["sentence_features"][1] = 0.0
    images = tf.constant(case["image_features"], "float32")
    sentences = tf.constant(case["sentence_features"], "float32")
    with tf.GradientTape() as tape:
        tape.watch([images, sentences])
        got = losses.sentence_scores(images, sentences)
    expected = [
        [cosine(v, e) for e in case["sentence_features"]]
        for v in case["image_features"]
    ]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    for gradient in tape.gradient(got, [images, sentences]):
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    ("B", "class_ids"),
    [(2, None), (2, [4, 4]), (5, None), (5, [7, 3, 7, 7, 1]), (3, [1, 2, 3])],
)
def test_matching_loss_is_eq_11_to_13(B, class_ids):
    scores = np.random.default_rng(B).normal(size=[B, B])
    t = tf.constant(scores, "float32")
    ids = None if class_ids is None else tf.constant(class_ids, "int64")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(t)
        got = losses.matching_loss(t, 3.0, ids)
    expected = matching(scores, 3.0, class_ids)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    for direction in (0, 1):
        gradient = numeric_gradient(
            lambda x, d=direction: matching(x, 3.0, class_ids)[d], scores
        )
        np.testing.assert_allclose(
            tape.gradient(got[direction], t), gradient, atol=1e-5
        )


@pytest.mark.parametrize("class_ids", [None, [5, 2, 5]])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_damsm_loss_is_eq_14(class_ids, form):
    case = batch([2, 1, 3], N=4, D=3, seed=5)
    t = tensors(case)
    names = [name for name in t if name != "lengths"]
    ids = None if class_ids is None else tf.constant(class_ids)
    with tf.GradientTape() as tape:
        tape.watch([t[name] for name in names])
        got = losses.damsm_loss(
            **t, class_ids=ids, gamma3=2.0, word_score=form, **GAMMAS
        )
    terms = damsm(case, 2.0, class_ids, form)
    np.testing.assert_allclose(got[:4], terms, atol=1e-5)
    np.testing.assert_allclose(got.total, sum(terms), atol=3e-5)
    assert got.words_text_to_image is got[1]
    assert got.sentences_image_to_text is got[2]
    gradients = tape.gradient(got.total, [t[name] for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        expected = numeric_gradient(
            lambda x, n=name: sum(damsm({**case, n: x}, 2.0, class_ids, form)),
            case[name],
        )
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def test_damsm_loss_is_float32_inside():
    low = tensors(batch([2, 1, 3], N=8, D=16, seed=6), "bfloat16")
    high = {
        k: v if k == "lengths" else tf.cast(v, "float32")
        for k, v in low.items()
    }
    words = low["word_features"]
    with tf.GradientTape() as tape:
        tape.watch(words)
        got = losses.damsm_loss(**low, gamma3=10.0, **GAMMAS)
    expected = losses.damsm_loss(**high, gamma3=10.0, **GAMMAS)
    np.testing.assert_array_equal(got, expected)
    assert {term.dtype for term in got} == {tf.float32}
    gradient = tape.gradient(got.total, words)
    assert gradient.dtype == "bfloat16"
    assert np.all(np.isfinite(tf.cast(gradient, "float32")))


def test_zero_features_have_finite_gradients():
    case = batch([2, 3], N=4, D=3)
    case = {k: v if k == "lengths" else 0 * v for k, v in case.items()}
    t = tensors(case)
    watched = [t[name] for name in t if name != "lengths"]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        got = losses.damsm_loss(**t, gamma3=10.0, **GAMMAS)
    for gradient in tape.gradient(got.total, watched):
        assert np.all(np.isfinite(gradient))


def bce(logits, label):
    """Binary cross-entropy of small logits, from its definition."""
    p = 1 / (1 + np.exp(-np.array(logits)))
    return np.mean(-np.log(p if label else 1 - p))


U, C, FU, FC, W = [1.0, -2.0], [0.5, 3.0], [-1.0, 0.3], [2.0, -0.7], [0.9]


def constants(*logits):
    return [None if x is None else tf.constant(x) for x in logits]


@pytest.mark.parametrize(
    ("logits", "scale", "total"),
    [
        ((FU, FC), "paper", bce(FU, 1) / 2 + bce(FC, 1) / 2),
        ((FU, FC), "released", bce(FU, 1) + bce(FC, 1)),
        ((None, FC), "paper", bce(FC, 1) / 2),
        ((None, FC), "released", bce(FC, 1)),
    ],
)
def test_generator_loss_is_eq_4(logits, scale, total):
    got = losses.generator_loss(*constants(*logits), scale)
    np.testing.assert_allclose(got.total, total, rtol=1e-6)
    np.testing.assert_allclose(got.conditional, bce(FC, 1), rtol=1e-6)
    if logits[0] is None:
        assert got.unconditional is None
    else:
        np.testing.assert_allclose(got.unconditional, bce(FU, 1), rtol=1e-6)


REAL, FAKE = (bce(U, 1), bce(C, 1)), (bce(FU, 0), bce(FC, 0))


@pytest.mark.parametrize(
    ("logits", "total"),
    [
        ((U, C, FU, FC, None), sum(REAL) / 2 + sum(FAKE) / 2),
        ((U, C, FU, FC, W), sum(REAL) / 2 + (sum(FAKE) + bce(W, 0)) / 3),
        ((None, C, None, FC, None), REAL[1] / 2 + FAKE[1] / 2),
        ((None, C, None, FC, W), REAL[1] + (FAKE[1] + bce(W, 0)) / 2),
    ],
)
def test_discriminator_loss_is_eq_5(logits, total):
    got = losses.discriminator_loss(*constants(*logits))
    np.testing.assert_allclose(got.total, total, rtol=1e-6)
    terms = (bce(U, 1), bce(C, 1), bce(FU, 0), bce(FC, 0), bce(W, 0))
    for ours, given, theirs in zip(got[:-1], logits, terms, strict=True):
        if given is None:
            assert ours is None
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_wrong_factor_joins_replicas_of_unequal_pairs():
    # Three wrong pairs, two on one replica and one on the other.
    shares = [([0.9, -2.0], 2 * 2 / 3), ([3.0], 1 * 2 / 3)]
    totals, terms = [], []
    for wrong, factor in shares:
        got = losses.discriminator_loss(*constants(U, C, FU, FC, wrong), factor)
        totals.append(got.total)
        terms.append(got.wrong_conditional)
    joint = bce([0.9, -2.0, 3.0], 0)
    np.testing.assert_allclose(np.mean(terms), joint, rtol=1e-6)
    expected = sum(REAL) / 2 + (sum(FAKE) + joint) / 3
    np.testing.assert_allclose(np.mean(totals), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_large_logits_are_stable(dtype):
    sure = tf.constant([1e4, -1e4], dtype)
    size = float(sure[0])  # bfloat16 has no 10,000
    with tf.GradientTape() as tape:
        tape.watch(sure)
        d = losses.discriminator_loss(sure, sure, sure, sure, sure)
        g = losses.generator_loss(sure, sure, scale="released")
        both = d.total + g.total
    for term in (*d[:-1], *g[:-1], d.total / 2, g.total / 2):
        assert term.dtype == tf.float32
        np.testing.assert_allclose(term, size / 2, rtol=1e-6)
    # Sure and right: flat. Sure and wrong: slope 1, times weight, over B.
    np.testing.assert_allclose(
        tape.gradient(both, sure), [1 / 2, -1 / 2 - 1], rtol=1e-2
    )


def test_gan_loss_gradients():
    t = constants(U, C, FU, FC, [0.9, 0.1])
    with tf.GradientTape() as tape:
        tape.watch(t)
        total = losses.discriminator_loss(*t).total
    weights = [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]
    for i, gradient in enumerate(tape.gradient(total, t)):
        p = 1 / (1 + np.exp(-t[i].numpy()))
        slope = p - 1 if i < 2 else p
        np.testing.assert_allclose(gradient, weights[i] * slope / 2, rtol=1e-5)


def test_kl_loss_is_the_mean_divergence():
    mu = np.array([[0.0, 1.0], [-2.0, 0.5]])
    logvar = np.array([[0.0, -1.0], [0.7, 0.2]])
    # KL(N(m, s^2) | N(0, 1)) = log(1/s) + (s^2 + m^2) / 2 - 1/2
    s = np.exp(logvar / 2)
    divergence = np.log(1 / s) + (s**2 + mu**2) / 2 - 1 / 2
    got = losses.kl_loss(tf.constant(mu), tf.constant(logvar, "float32"))
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, divergence.mean(), rtol=1e-6)
    assert losses.kl_loss(tf.zeros([2, 3]), tf.zeros([2, 3])) == 0


def test_kl_loss_gradients():
    rng = np.random.default_rng(3)
    mu, logvar = rng.normal(size=(2, 2, 3))

    def kl(m, v):
        return np.mean((np.exp(v) + m**2 - v - 1) / 2)

    t = constants(mu, logvar)
    with tf.GradientTape() as tape:
        tape.watch(t)
        value = losses.kl_loss(*t)
    by_mu, by_logvar = tape.gradient(value, t)
    expected = numeric_gradient(lambda m: kl(m, logvar), mu)
    np.testing.assert_allclose(by_mu, expected, rtol=1e-4, atol=1e-6)
    expected = numeric_gradient(lambda v: kl(mu, v), logvar)
    np.testing.assert_allclose(by_logvar, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("scale", "factor"), [("paper", 0.5), ("released", 1)])
def test_generator_loss_gradients(scale, factor):
    u, c = np.array([0.3, -1.2, 2.0]), np.array([-0.4, 0.1, 1.5])

    def loss(logits):
        return factor * np.mean(np.log1p(np.exp(-logits)))

    t = constants(u, c)
    with tf.GradientTape() as tape:
        tape.watch(t)
        total = losses.generator_loss(*t, scale=scale).total
    for got, logits in zip(tape.gradient(total, t), (u, c), strict=True):
        expected = numeric_gradient(loss, logits)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_unknown_forms_are_refused():
    case = batch([1, 2])
    with pytest.raises(ValueError, match=r"`form`.*Received: 'papr'"):
        ours(case, form="papr", **GAMMAS)
    with pytest.raises(ValueError, match=r"`scale`.*Received: 'half'"):
        losses.generator_loss(tf.ones([2]), tf.ones([2]), scale="half")
