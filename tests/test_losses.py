"""The losses and their gradients against the PyTorch reference, in float64."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import torch

from attngan_tf import losses
from tests.reference import losses as reference

GARBAGE = [np.nan, np.inf, -3e38, 7.0]
GAMMAS = {"gamma1": 5.0, "gamma2": 5.0}
FEATURES = ("region_features", "image_features", "word_features")
FEATURES += ("sentence_features",)


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


def tensors(case, dtype="float32"):
    """The batch as TensorFlow's tensors, with garbage at padding."""
    words = case["word_features"].copy()
    for row, length in enumerate(case["lengths"]):
        for t in range(length, words.shape[1]):
            words[row, t] = GARBAGE[(row + t) % len(GARBAGE)]
    features = {**case, "word_features": words}
    lengths = tf.constant(features.pop("lengths"))
    cast = {k: tf.cast(tf.constant(v), dtype) for k, v in features.items()}
    return {**cast, "lengths": lengths}


def with_gradients(function, inputs, upstream=1.0):
    """A function's output, and the gradients of `upstream` times it."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
        total = tf.reduce_sum(value * tf.cast(upstream, tf.float32))
    return [value, *tape.gradient(total, inputs)]


def expected_gradients(function, inputs, upstream=1.0):
    """The same with PyTorch's function, from float64 arrays."""
    given = [torch.tensor(x, requires_grad=True) for x in inputs]
    value = function(*given)
    (value * torch.as_tensor(upstream)).sum().backward()
    return [value.detach().numpy(), *(x.grad.numpy() for x in given)]


def assert_close(found, expected, tolerance=2e-5):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


# Both ways of computing a context's norm: fewer regions than dims, and more.
@pytest.mark.parametrize(("N", "D"), [(4, 6), (7, 3)])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_word_scores_and_gradients_are_eq_10(N, D, form):
    case = batch([3, 1, 2, 4], N=N, D=D, T=4, images=3)
    upstream = np.random.default_rng(2).normal(size=[3, 4])
    expected = expected_gradients(
        lambda regions, words: (
            reference.word_scores(regions, words, case["lengths"], **GAMMAS)
            / (GAMMAS["gamma2"] if form == "paper" else 1.0)
        ),
        [case["region_features"], case["word_features"]],
        upstream,
    )
    t = tensors(case)
    found = with_gradients(
        lambda regions, words: losses.word_scores(
            regions, words, t["lengths"], form=form, **GAMMAS
        ),
        [t["region_features"], t["word_features"]],
        upstream,
    )
    assert_close(found, expected)
    padding = np.arange(4) >= case["lengths"][:, None]
    assert not np.any(found[2].numpy()[padding])


def scores_and_gradients(regions, words, lengths, upstream, **settings):
    return with_gradients(
        lambda regions, words: losses.word_scores(
            regions, words, lengths, **settings
        ),
        [regions, words],
        upstream,
    )


def graph_of(regions, words, lengths, upstream, max_elements, **options):
    """Scores and gradients as a graph, for sizes known or not."""
    return tf.function(
        lambda *args: scores_and_gradients(
            *args, max_elements=max_elements, **GAMMAS
        ),
        **options,
    ).get_concrete_function(regions, words, lengths, upstream)


@pytest.fixture(scope="module")
def sliced():
    """Arguments of `scores_and_gradients`, and its results without slices."""
    t = tensors(batch([3, 1, 2, 4, 2], N=4, D=6, T=4, images=3, seed=3))
    upstream = np.random.default_rng(4).normal(size=[3, 5])
    args = (
        *(t["region_features"], t["word_features"], t["lengths"]),
        tf.constant(upstream, "float32"),
    )
    return args, scores_and_gradients(*args, **GAMMAS)


# 48 similarities a sentence: slices of two (the last one is half empty), and
# of three for a batch of unknown size.
@pytest.mark.parametrize(
    ("max_elements", "known", "xla"),
    [
        (100, True, False),
        (190, False, False),
        pytest.param(100, True, True, marks=pytest.mark.slow),
    ],
)
def test_slices_equal_the_whole(sliced, max_elements, known, xla):
    args, whole = sliced
    specs = [
        tf.TensorSpec(a.shape if known else [None, *a.shape[1:]], a.dtype)
        for a in args[:3]
    ]
    graph = graph_of(*specs, args[3], max_elements, jit_compile=xla)
    assert_close(graph(*args), whole, 2e-6)


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


@pytest.mark.parametrize(
    ("class_ids", "form"), [(None, "paper"), ([5, 2, 5], "released")]
)
def test_damsm_loss_and_gradients_are_eq_14(class_ids, form):
    case = batch([2, 1, 3], N=4, D=3, seed=5)
    known = class_ids is not None

    def total(regions, images, words, sentences):
        terms = reference.damsm_loss(
            *(regions, images, words, sentences, case["lengths"]),
            torch.tensor(class_ids) if known else None,
            gamma3=2.0,
            form=form,
            **GAMMAS,
        )
        names.update({name: value.item() for name, value in terms.items()})
        return sum(terms.values())

    names = {}
    expected = expected_gradients(total, [case[name] for name in FEATURES])
    t = tensors(case)
    ids = tf.constant(class_ids) if known else None

    def ours(**features):
        return losses.damsm_loss(
            **features,
            lengths=t["lengths"],
            class_ids=ids,
            gamma3=2.0,
            word_score=form,
            **GAMMAS,
        )

    found = with_gradients(
        lambda *x: ours(**dict(zip(FEATURES, x, strict=True))).total,
        [t[name] for name in FEATURES],
    )
    assert_close(found, expected, 1e-4)
    terms = ours(**{name: t[name] for name in FEATURES})._asdict()
    for name, value in names.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-4)


def test_damsm_loss_is_float32_inside():
    low = tensors(batch([2, 1, 3], N=8, D=16, seed=6), "bfloat16")
    high = {
        k: v if k == "lengths" else tf.cast(v, "float32")
        for k, v in low.items()
    }
    words = low["word_features"]
    with tf.GradientTape() as tape:
        tape.watch(words)
        found = losses.damsm_loss(**low, gamma3=10.0, **GAMMAS)
    expected = losses.damsm_loss(**high, gamma3=10.0, **GAMMAS)
    np.testing.assert_array_equal(found, expected)
    assert {term.dtype for term in found} == {tf.float32}
    gradient = tape.gradient(found.total, words)
    assert gradient.dtype == "bfloat16"
    assert np.all(np.isfinite(tf.cast(gradient, "float32")))


def test_zero_features_have_finite_gradients():
    case = batch([2, 3], N=4, D=3)
    t = tensors({k: v * (k == "lengths") for k, v in case.items()})
    found = with_gradients(
        lambda *x: (
            losses.damsm_loss(
                **dict(zip(FEATURES, x, strict=True)),
                lengths=t["lengths"],
                gamma3=10.0,
                **GAMMAS,
            ).total
        ),
        [t[name] for name in FEATURES],
    )
    for gradient in found:
        assert np.all(np.isfinite(gradient))


U, C, FU, FC, W = [1.0, -2.0], [0.5, 3.0], [-1.0, 0.3], [2.0, -0.7], [0.9]


def gan_loss(ours, theirs, logits):
    """Totals and gradients; logits that are None are given as None."""
    indices = [i for i, x in enumerate(logits) if x is not None]

    def spread(given):
        given = iter(given)
        return [next(given) if i in indices else None for i in range(count)]

    count = len(logits)
    given = [np.array(logits[i]) for i in indices]
    expected = expected_gradients(lambda *x: theirs(*spread(x)), given)
    found = with_gradients(
        lambda *x: ours(*spread(x)), [tf.constant(x, "float32") for x in given]
    )
    assert_close(found, expected, 1e-6)


@pytest.mark.parametrize("unconditional", [FU, None])
@pytest.mark.parametrize(("scale", "factor"), [("paper", 0.5), ("released", 1)])
def test_generator_loss_and_gradients_are_eq_4(unconditional, scale, factor):
    gan_loss(
        lambda *x: losses.generator_loss(*x, scale).total,
        lambda *x: factor * reference.generator_loss(*x)["total"],
        (unconditional, FC),
    )


@pytest.mark.parametrize(
    ("logits", "released"),
    [
        ((U, C, FU, FC, None), False),
        ((U, C, FU, FC, W), True),
        ((None, C, None, FC, None), False),
        ((None, C, None, FC, W), True),
    ],
)
def test_discriminator_loss_and_gradients_are_eq_5(logits, released):
    def paper(*logits):
        reals = [True, True, False, False]
        pairs = zip(logits[:4], reals, strict=True)
        return 0.5 * sum(
            reference.cross_entropy(x, real)
            for x, real in pairs
            if x is not None
        )

    gan_loss(
        lambda *x: losses.discriminator_loss(*x).total,
        lambda *x: (
            reference.discriminator_loss(*x)["total"] if released else paper(*x)
        ),
        logits,
    )


def test_terms_of_the_gan_losses_are_plain_means():
    given = [torch.tensor(x) for x in (U, C, FU, FC, W)]
    expected = reference.discriminator_loss(*given)
    found = losses.discriminator_loss(*map(tf.constant, (U, C, FU, FC, W)))
    expected |= {
        f"g/{k}": v
        for k, v in reference.generator_loss(given[2], given[3]).items()
    }
    g = losses.generator_loss(tf.constant(FU), tf.constant(FC), "released")
    terms = found._asdict() | {f"g/{k}": v for k, v in g._asdict().items()}
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-6)
    alone = losses.discriminator_loss(
        None, tf.constant(C), None, tf.constant(FC)
    )
    assert alone.real_unconditional is alone.fake_unconditional is None
    assert alone.wrong_conditional is None
    assert losses.generator_loss(None, tf.constant(FC)).unconditional is None


def test_wrong_factor_balances_replicas_with_unequal_pairs():
    # Three wrong pairs, two on one replica and one on the other.
    replicas = [([0.9, -2.0], 2 * 2 / 3), ([3.0], 1 * 2 / 3)]
    logits = [tf.constant(x) for x in (U, C, FU, FC)]
    found = [
        losses.discriminator_loss(*logits, tf.constant(wrong), factor)
        for wrong, factor in replicas
    ]
    whole = losses.discriminator_loss(*logits, tf.constant([0.9, -2.0, 3.0]))
    for name in ("wrong_conditional", "total"):
        mean = np.mean([getattr(x, name) for x in found])
        np.testing.assert_allclose(mean, getattr(whole, name), rtol=1e-6)


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


def test_kl_loss_and_gradients():
    mu, logvar = np.random.default_rng(3).normal(size=(2, 2, 3))
    found = with_gradients(
        losses.kl_loss, [tf.constant(x, "float32") for x in (mu, logvar)]
    )
    assert_close(found, expected_gradients(reference.kl_loss, [mu, logvar]))
    assert losses.kl_loss(tf.zeros([2, 3]), tf.zeros([2, 3])) == 0
