"""The losses against loops and closed forms."""

import numpy as np
import pytest
import torch

from peers import losses

B, D, H, W, T = 4, 6, 2, 2, 5
LENGTHS = [2, 5, 1, 3]
GAMMAS = {"gamma1": 4.0, "gamma2": 5.0}


@pytest.fixture
def case():
    draw = torch.Generator().manual_seed(0)
    return {
        "regions": torch.randn(B, D, H, W, generator=draw),
        "words": torch.randn(B, D, T, generator=draw),
        "images": torch.randn(B, D, generator=draw),
        "sentences": torch.randn(B, D, generator=draw),
    }


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def word_score(regions, words, gamma1, gamma2):
    """Eq. 7-10 without 1/gamma2, of regions [D, N] and true words [D, t]."""
    shares = np.stack([softmax(c) for c in (words.T @ regions).T], axis=1)
    total = 0.0
    for word, share in zip(words.T, shares, strict=True):
        context = regions @ softmax(gamma1 * share)
        total += np.exp(gamma2 * cosine(context, word))
    return np.log(total)


def matching(logits, classes):
    """Eq. 11-13 as means; other members of a class are left out."""
    sums = [0.0, 0.0]
    for i in range(B):
        rivals = [j for j in range(B) if j == i or classes[j] != classes[i]]
        own = np.exp(logits[i, i])
        sums[0] -= np.log(own / np.exp(logits[i, rivals]).sum())
        sums[1] -= np.log(own / np.exp(logits[rivals, i]).sum())
    return np.array(sums) / B


@pytest.mark.parametrize("classes", [None, [7, 3, 7, 5]])
def test_words_loss_against_loop(case, classes):
    v = case["regions"].numpy().reshape(B, D, H * W)
    e = case["words"].numpy()
    scores = np.array(
        [
            [
                word_score(v[i], e[s, :, :n], **GAMMAS)
                for s, n in enumerate(LENGTHS)
            ]
            for i in range(B)
        ]
    )
    found = losses.words_loss(
        case["regions"],
        case["words"],
        torch.tensor(LENGTHS),
        None if classes is None else torch.tensor(classes),
        **GAMMAS,
        gamma3=10.0,
    )
    expected = matching(10.0 * scores, classes or range(B))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("classes", [None, [7, 3, 7, 5]])
def test_sent_loss_against_loop(case, classes):
    scores = np.array(
        [
            [cosine(v, e) for e in case["sentences"].numpy()]
            for v in case["images"].numpy()
        ]
    )
    found = losses.sent_loss(
        case["images"],
        case["sentences"],
        None if classes is None else torch.tensor(classes),
        gamma3=10.0,
    )
    expected = matching(10.0 * scores, classes or range(B))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_word_score_of_parallel_vectors_by_hand():
    """All cosines 1: the log of a sum of t terms exp(gamma2)."""
    regions = torch.ones(1, D, H, W)
    scores = losses.word_scores(
        regions, torch.ones(1, D, T), torch.tensor([3]), **GAMMAS
    )
    assert scores.item() == pytest.approx(np.log(3 * np.exp(5.0)))


def test_matching_of_one_class_is_zero(case):
    """Nothing is left but the pair itself."""
    found = losses.sent_loss(
        case["images"], case["sentences"], torch.ones(B), gamma3=10.0
    )
    assert [x.item() for x in found] == [0.0, 0.0]


class Judge(torch.nn.Module):
    """A discriminator whose logits are given by hand.

    A picture's code is its first number. Alone, that is the logit; with a
    sentence, it is multiplied by the sentence's first number.
    """

    def __init__(self, unconditional=True):
        super().__init__()
        self.UNCOND_DNET = (lambda code: code) if unconditional else None
        self.COND_DNET = lambda code, sentences: code * sentences[:, 0]

    def forward(self, images):
        return images[:, 0, 0, 0]


REAL, FAKE, SENTENCE = [0.5, 2.0, -1.0], [-0.3, 0.8, 1.5], [1.0, -2.0, 0.7]


def pictures(values):
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, 4, 4)


def loss_real(logits):
    return np.mean([-np.log(1 / (1 + np.exp(-x))) for x in logits])


def loss_fake(logits):
    return np.mean([-np.log(1 - 1 / (1 + np.exp(-x))) for x in logits])


@pytest.mark.parametrize("unconditional", [True, False])
def test_discriminator_loss_by_hand(unconditional):
    real, fake, s = (np.array(x) for x in (REAL, FAKE, SENTENCE))
    real_u, fake_u = loss_real(real), loss_fake(fake)
    real_c, fake_c = loss_real(real * s), loss_fake(fake * s)
    wrong_c = loss_fake([0.5 * -2.0, 2.0 * 0.7])  # picture i, sentence i + 1
    found = losses.discriminator_loss(
        Judge(unconditional),
        pictures(REAL),
        pictures(FAKE),
        torch.tensor(SENTENCE)[:, None],
    )
    if unconditional:
        total = (real_u + real_c) / 2 + (fake_u + fake_c + wrong_c) / 3
    else:
        real_u = fake_u = None
        total = real_c + (fake_c + wrong_c) / 2
    expected = (real_u, real_c, fake_u, fake_c, wrong_c, total)
    for value, number in zip(found, expected, strict=True):
        assert (value is None) == (number is None)
        assert number is None or value.item() == pytest.approx(number)


@pytest.mark.parametrize("unconditional", [True, False])
def test_generator_loss_by_hand(unconditional):
    fake, s = np.array(FAKE), np.array(SENTENCE)
    found = losses.generator_loss(
        Judge(unconditional), pictures(FAKE), torch.tensor(SENTENCE)[:, None]
    )
    alone = loss_real(fake) if unconditional else 0.0
    assert (found.unconditional is None) != unconditional
    assert found.conditional.item() == pytest.approx(loss_real(fake * s))
    assert found.total.item() == pytest.approx(loss_real(fake * s) + alone)


def test_discriminator_loss_gives_fakes_no_gradient():
    fake = pictures(FAKE).clone().requires_grad_()
    real = pictures(REAL).clone().requires_grad_()
    sentences = torch.tensor(SENTENCE)[:, None]
    losses.discriminator_loss(Judge(), real, fake, sentences).total.backward()
    assert fake.grad is None
    assert real.grad is not None


def test_kl_by_hand():
    """Of N(2, e) and N(0, 1), mean over both numbers."""
    mu, logvar = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    expected = 0.5 * (4.0 + np.e - 1.0 - 1.0) / 2
    assert losses.kl_loss(mu, logvar).item() == pytest.approx(expected)
