"""The joint embedding's loss against loops, in float64 by PyTorch."""

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
            share = 1 / len(others) / B
            violation = 1 + images[n] @ sentences[m] - own
            by_image = by_image + share * violation.clamp(min=0)
            violation = 1 + images[m] @ sentences[n] - own
            by_sentence = by_sentence + share * violation.clamp(min=0)
    return by_image, by_sentence


def features(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images and sentences [4, 3], of which some pairs fit well."""
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
def test_the_loss_and_its_gradient_are_the_loops(class_ids):
    images, sentences = features()
    given = [torch.tensor(x, requires_grad=True) for x in (images, sentences)]
    expected = loops(*given, class_ids)
    sum(expected).backward()
    terms, gradients = terms_and_gradients(images, sentences, class_ids)
    for got, value in zip(terms[:2], expected, strict=True):
        assert 0.1 < float(got) == pytest.approx(value.item(), rel=1e-5)
    assert float(terms[0]) != pytest.approx(float(terms[1]))
    assert float(terms.total) == pytest.approx(sum(expected).item(), rel=1e-5)
    for got, tensor in zip(gradients, given, strict=True):
        np.testing.assert_allclose(got, tensor.grad, atol=1e-6)


def test_only_violations_count():
    """Own scores of 9, others of 0: by 8 more than the margin."""
    terms, gradients = terms_and_gradients(
        3 * np.eye(4), 3 * np.eye(4), DISTINCT
    )
    assert [float(x) for x in terms] == [0, 0, 0]
    assert not any(np.any(x) for x in gradients)
    terms, _ = terms_and_gradients(0.5 * np.eye(4), np.eye(4), DISTINCT)
    assert [float(x) for x in terms] == [0.5, 0.5, 1.0]


def test_a_batch_of_one_class_has_nothing_to_tell():
    terms, gradients = terms_and_gradients(*features(), [3, 3, 3, 3])
    assert [float(x) for x in terms] == [0, 0, 0]
    assert not any(np.any(x) for x in gradients)


def test_the_loss_is_float32_inside():
    images, sentences = (tf.constant(x, "bfloat16") for x in features(seed=1))
    terms = losses.joint_embedding_loss(
        images, sentences, tf.constant(DISTINCT)
    )
    rounded = [
        torch.tensor(tf.cast(x, "float64").numpy()) for x in (images, sentences)
    ]
    for got, value in zip(terms[:2], loops(*rounded, DISTINCT), strict=True):
        assert got.dtype == "float32"
        assert float(got) == pytest.approx(value.item(), rel=1e-5)
