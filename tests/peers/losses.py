"""The losses as the released code has them (Eq. 4, 5, 10-14, and KL)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from peers.attention import region_attention

COSINE_EPSILON = 1e-8  # least product of two norms


class Matching(NamedTuple):
    """Cross-entropies: sentences for images (Eq. 11, 12), and the reverse."""

    image_to_text: torch.Tensor
    text_to_image: torch.Tensor


class DiscriminatorLoss(NamedTuple):
    """Mean of each term, None where not judged, and the weighted total."""

    real_unconditional: torch.Tensor | None
    real_conditional: torch.Tensor
    fake_unconditional: torch.Tensor | None
    fake_conditional: torch.Tensor
    wrong_conditional: torch.Tensor
    total: torch.Tensor


class GeneratorLoss(NamedTuple):
    """Mean of each term, None where not judged, and their sum."""

    unconditional: torch.Tensor | None
    conditional: torch.Tensor
    total: torch.Tensor


def cosine(a, b, dim: int):
    """Cosines along `dim`."""
    norms = a.norm(dim=dim) * b.norm(dim=dim)
    return (a * b).sum(dim=dim) / norms.clamp(min=COSINE_EPSILON)


def word_scores(regions, words, lengths, *, gamma1: float, gamma2: float):
    """Eq. 10 without its 1/gamma2, for all pairs.

    Args:
      regions: [I, D, h, w].
      words: [S, D, T].
      lengths: [S].
      gamma1: sharpness of the attention.
      gamma2: weight of the best words.

    Returns:
      [I, S].
    """
    columns = []
    for sentence, length in zip(words, lengths.tolist(), strict=True):
        true = sentence[:, :length]  # [D, t]
        contexts, _ = region_attention(true, regions, gamma1)
        cosines = cosine(contexts, true.expand_as(contexts), dim=1)  # [I, t]
        columns.append((gamma2 * cosines).exp().sum(dim=1).log())
    return torch.stack(columns, dim=1)


def _matching(logits, class_ids) -> Matching:
    """Eq. 11-13 of logits [B, B], images by sentences."""
    labels = torch.arange(len(logits))
    if class_ids is not None:
        same = class_ids[:, None] == class_ids[None, :]
        same = same & ~torch.eye(len(logits), dtype=torch.bool)
        logits = logits.masked_fill(same, -torch.inf)
    return Matching(
        F.cross_entropy(logits, labels), F.cross_entropy(logits.T, labels)
    )


def words_loss(
    regions,
    words,
    lengths,
    class_ids=None,
    *,
    gamma1: float,
    gamma2: float,
    gamma3: float,
) -> Matching:
    """L_w1 and L_w2.

    Args:
      regions: [B, D, h, w].
      words: [B, D, T].
      lengths: [B].
      class_ids: [B], whose equals are no mismatches of one another, or None.
      gamma1: see `word_scores`.
      gamma2: see `word_scores`.
      gamma3: factor of the scores.
    """
    scores = word_scores(regions, words, lengths, gamma1=gamma1, gamma2=gamma2)
    return _matching(gamma3 * scores, class_ids)


def sent_loss(images, sentences, class_ids=None, *, gamma3: float) -> Matching:
    """L_s1 and L_s2 of images [B, D] and sentences [B, D]."""
    scores = cosine(images[:, None], sentences[None], dim=2)
    return _matching(gamma3 * scores, class_ids)


def _entropy(logits, real: bool):
    target = torch.full_like(logits, float(real))
    return F.binary_cross_entropy_with_logits(logits, target)


def discriminator_loss(network, real, fake, sentences) -> DiscriminatorLoss:
    """What a discriminator minimizes.

    (real_u + real_c) / 2 + (fake_u + fake_c + wrong_c) / 3, where wrong is
    real image i with sentence i + 1. Without UNCOND_DNET (AttnDCGAN):
    real_c + (fake_c + wrong_c) / 2.

    Args:
      network: a D_NET.
      real: images [B, 3, S, S].
      fake: images [B, 3, S, S]; no gradient goes to them.
      sentences: [B, D].
    """
    real_code, fake_code = network(real), network(fake.detach())
    judge = network.COND_DNET
    real_c = _entropy(judge(real_code, sentences), True)
    fake_c = _entropy(judge(fake_code, sentences), False)
    wrong_c = _entropy(judge(real_code[:-1], sentences[1:]), False)
    if network.UNCOND_DNET is None:
        total = real_c + (fake_c + wrong_c) / 2
        return DiscriminatorLoss(None, real_c, None, fake_c, wrong_c, total)
    real_u = _entropy(network.UNCOND_DNET(real_code), True)
    fake_u = _entropy(network.UNCOND_DNET(fake_code), False)
    total = (real_u + real_c) / 2 + (fake_u + fake_c + wrong_c) / 3
    return DiscriminatorLoss(real_u, real_c, fake_u, fake_c, wrong_c, total)


def generator_loss(network, fake, sentences) -> GeneratorLoss:
    """Eq. 4 without its 1/2, of one stage; arguments as above."""
    code = network(fake)
    conditional = _entropy(network.COND_DNET(code, sentences), True)
    if network.UNCOND_DNET is None:
        return GeneratorLoss(None, conditional, conditional)
    unconditional = _entropy(network.UNCOND_DNET(code), True)
    total = unconditional + conditional
    return GeneratorLoss(unconditional, conditional, total)


def kl_loss(mu, logvar):
    """KL of N(mu, exp(logvar)) from N(0, 1): mean over [B, C]."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).mean()
