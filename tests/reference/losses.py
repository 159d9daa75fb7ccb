"""The losses as the released code has them (Eq. 4, 5, 7-14, and KL)."""

import torch
import torch.nn.functional as F


def word_scores(regions, words, lengths, *, gamma1: float, gamma2: float):
    """Eq. 7-10 without the 1/gamma2, for all pairs.

    Takes regions [I, N, D], words [S, T, D] and lengths [S]; returns [I, S].
    """
    columns = []
    for sentence, length in zip(words, lengths, strict=True):
        true = sentence[: int(length)]
        similarities = torch.einsum("td,ind->itn", true, regions).softmax(dim=1)
        contexts = (gamma1 * similarities).softmax(dim=2) @ regions
        cosines = F.cosine_similarity(contexts, true, dim=2)  # [I, T]
        columns.append((gamma2 * cosines).exp().sum(dim=1).log())
    return torch.stack(columns, dim=1)


def matching_loss(scores, gamma3: float, class_ids=None):
    """Eq. 11-13: sentences for images, and images for sentences.

    Pairs of one class are no mismatches of each other.
    """
    logits, labels = gamma3 * scores, torch.arange(len(scores))
    if class_ids is not None:
        same = class_ids[:, None] == class_ids[None, :]
        same = same & ~torch.eye(len(scores), dtype=torch.bool)
        logits = logits.masked_fill(same, -torch.inf)
    return F.cross_entropy(logits, labels), F.cross_entropy(logits.T, labels)


def damsm_loss(
    regions,
    images,
    words,
    sentences,
    lengths,
    class_ids=None,
    *,
    gamma1: float,
    gamma2: float,
    gamma3: float,
    form: str = "released",
) -> dict:
    """The four terms of Eq. 14 by name; `form` "paper" has the 1/gamma2."""
    scores = word_scores(regions, words, lengths, gamma1=gamma1, gamma2=gamma2)
    if form == "paper":
        scores = scores / gamma2
    w1, w2 = matching_loss(scores, gamma3, class_ids)
    cosines = F.cosine_similarity(images[:, None], sentences[None], dim=2)
    s1, s2 = matching_loss(cosines, gamma3, class_ids)
    return {
        "words_image_to_text": w1,
        "words_text_to_image": w2,
        "sentences_image_to_text": s1,
        "sentences_text_to_image": s2,
    }


def cross_entropy(logits, real: bool):
    """-E log D(x) or -E log(1 - D(x)), from logits."""
    target = torch.full_like(logits, float(real))
    return F.binary_cross_entropy_with_logits(logits, target)


def discriminator_loss(real_u, real_c, fake_u, fake_c, wrong_c) -> dict:
    """Terms and total, from logits; the unconditional ones may be None.

    (real_u + real_c) / 2 + (fake_u + fake_c + wrong_c) / 3, or, for AttnDCGAN,
    real_c + (fake_c + wrong_c) / 2.
    """
    terms = {
        "real_conditional": cross_entropy(real_c, True),
        "fake_conditional": cross_entropy(fake_c, False),
        "wrong_conditional": cross_entropy(wrong_c, False),
    }
    real, false = 1, 2
    if real_u is not None:
        terms["real_unconditional"] = cross_entropy(real_u, True)
        terms["fake_unconditional"] = cross_entropy(fake_u, False)
        real, false = 2, 3
    terms["total"] = sum(
        value / (real if name.startswith("real") else false)
        for name, value in terms.items()
    )
    return terms


def generator_loss(unconditional, conditional) -> dict:
    """Eq. 4 without its 1/2, of one stage; terms and total."""
    terms = {"conditional": cross_entropy(conditional, True)}
    if unconditional is not None:
        terms["unconditional"] = cross_entropy(unconditional, True)
    return terms | {"total": sum(terms.values())}


def kl_loss(mu, logvar):
    """KL of N(mu, exp(logvar)) from N(0, 1): the mean over [B, C]."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).mean()
