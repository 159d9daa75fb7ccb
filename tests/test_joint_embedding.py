"""The loss of the joint embedding against loops in PyTorch, in float64."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from attngan_tf import losses

DISTINCT, SOME_EQUAL = [4, 7, 5, 9], [4, 7, 4, 4]


def loops(images, sentences, class_ids):
    """Reed et al. 2016, Eq. 1-5, pair by pair; means over other classes."""
    B = len(class_ids)
    by_image = by_sentence = torch.zeros((), dtype=torch.float64)
    for n in range(B):
        own = images[n] @ sentences[n]
        others = [m for m in range(B) if class_ids[m] != class_ids[n]]
        for m in others:
            weight = 1 / len(others) / B
            violation = 1 + images[n] @ sentences[m] - own
            by_image = by_image + weight * violation.clamp(min=0)
            violation = 1 + images[m] @ sentences[n] - own
            by_sentence = by_sentence + weight * violation.clamp(min=0)
    return by_image, by_sentence


def features(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images and sentences [4, 3], some of which fit well."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=[4, 3])
    return images, images + rng.normal(size=[4, 3])


def terms_and_gradients(images, sentences, class_ids):
    inputs = [tf.constant(x, "float32") for x in (images, sentences)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        terms = losses.joint_embedding_loss(
            *inputs, tf.constant(class_ids, "int64")
        )
    return terms, tape.gradient(terms.total, inputs)


@pytest.mark.parametrize("class_ids", [DISTINCT, SOME_EQUAL])
def test_loss_and_gradient_equal_the_loops(class_ids):
    images, sentences = features()
    given = [torch.tensor(x, requires_grad=True) for x in (images, sentences)]
    expected = loops(*given, class_ids)
    sum(expected).backward()
    terms, gradients = terms_and_gradients(images, sentences, class_ids)
    for found, value in zip(terms[:2], expected, strict=True):
        assert 0.1 < float(found) == pytest.approx(value.item(), rel=1e-5)
    assert float(terms[0]) != pytest.approx(float(terms[1]))
    assert float(terms.total) == pytest.approx(sum(expected).item(), rel=1e-5)
    for found, tensor in zip(gradients, given, strict=True):
        np.testing.assert_allclose(found, tensor.grad, atol=1e-6)


@pytest.mark.parametrize("satisfied", ["margin", "one class"])
def test_loss_is_zero_without_violations(satisfied):
    """Own scores of 9 against 0, or a batch without another class."""
    if satisfied == "margin":
        given = 3 * np.eye(4), 3 * np.eye(4), DISTINCT
    else:
        given = *features(), [3, 3, 3, 3]
    terms, gradients = terms_and_gradients(*given)
    assert [float(x) for x in terms] == [0, 0, 0]
    assert not any(np.any(x) for x in gradients)


def test_loss_is_float32_inside():
    images, sentences = (tf.constant(x, "bfloat16") for x in features(seed=1))
    terms = losses.joint_embedding_loss(
        images, sentences, tf.constant(DISTINCT)
    )
    rounded = [
        torch.tensor(tf.cast(x, "float64").numpy()) for x in (images, sentences)
    ]
    for found, value in zip(terms[:2], loops(*rounded, DISTINCT), strict=True):
        assert found.dtype == "float32"
        assert float(found) == pytest.approx(value.item(), rel=1e-5)
