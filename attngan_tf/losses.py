"""The losses of the GAN and of the encoders.

Pure functions that compute in float32. Every loss is a mean over the batch.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from attngan_tf.models import attention

Scalar = Any  # a float32 tensor without dimensions

COSINE_EPSILON = 1e-8  # smallest denominator of a cosine
# Largest size of an [I, S, T, N] array in memory: 64 MiB of float32. A batch
# of 256 (T 18, N 289) then takes 1.1 GB, including the backward pass.
MAX_ELEMENTS = 2**24


def _check_choice(name: str, value: str) -> None:
    if value not in ("paper", "released"):
        raise ValueError(
            f"`{name}` must be 'paper' or 'released'. Received: {value!r}"
        )


def _cosines(dots, squares_a, squares_b):
    """Cosines from dot products and squared norms."""
    return dots * ops.rsqrt(
        ops.maximum(squares_a * squares_b, COSINE_EPSILON**2)
    )


def _word_scores(regions, words, lengths, gamma1, gamma2):
    """Scores without the factor 1/gamma2, for all pairs at once: [I, S]."""
    real = attention.word_mask(lengths, words.shape[1])
    weights, similarities = attention.region_attention(
        words, regions, lengths, gamma1
    )
    words = ops.where(real[:, :, None], words, 0.0)
    cosines = _cosines(
        ops.sum(weights * similarities, axis=-1),  # c^T e = sum alpha v^T e
        attention.context_squares(weights, regions),
        ops.sum(ops.square(words), axis=-1),
    )  # [I, S, T]
    return ops.logsumexp(
        ops.where(real, gamma2 * cosines, attention.MASKED), axis=-1
    )


def _sliced_word_scores(regions, words, lengths, gamma1, gamma2, size):
    """`_word_scores` with at most `size` sentences at a time.

    Each slice is recomputed for the gradient. Otherwise the loop would store
    the arrays of all its iterations.
    """
    I = ops.shape(regions)[0]
    S, T, D = ops.shape(words)
    count = -(-S // size)
    size = -(-S // count)
    # The last slice is padded with sentences without words.
    rest = count * size - S
    words = ops.pad(words, [[0, rest], [0, 0], [0, 0]])
    lengths = ops.pad(lengths, [[0, rest]])

    def step(i, scores):
        part = ops.slice(words, [i * size, 0, 0], [size, T, D])
        true = ops.slice(lengths, [i * size], [size])
        # TensorFlow runs up to ten iterations at once. With this dependency on
        # the previous one, they and their gradients run one after another.
        part = part + 0.0 * scores[0, 0, 0]

        def score(regions, words):
            return _word_scores(regions, words, true, gamma1, gamma2)

        new = keras.remat(score)(regions, part)  # [I, size]
        index = ops.one_hot(i, count, dtype="float32")
        return i + 1, scores + index[:, None, None] * new

    _, scores = ops.while_loop(
        lambda i, _: i < count,
        step,
        (0, ops.zeros([count, I, size], dtype="float32")),
        maximum_iterations=count,  # XLA needs it for a loop's gradient
    )
    scores = ops.reshape(ops.swapaxes(scores, 0, 1), [I, -1])
    return scores[:, :S]


def word_scores(
    region_features,
    word_features,
    lengths,
    *,
    gamma1: float,
    gamma2: float,
    form: str = "paper",
    max_elements: int = MAX_ELEMENTS,
):
    """R(Q, D) of Eq. 10 for all pairs of images and sentences.

    Args:
      region_features: float [I, N, D].
      word_features: float [S, T, D].
      lengths: int [S], number of words without padding, at least 1.
      gamma1: sharpness of a word's attention over regions.
      gamma2: how much the best matching words dominate, above 0.
      form: "paper", or "released": without the 1/gamma2 before the log.
      max_elements: largest number of similarities (I x S x T x N) in memory;
        if there are more (or I or S is unknown in tracing), sentences are
        processed in slices and recomputed for the gradient.

    Returns:
      float32 [I, S].

    Raises:
      ValueError: `form` is unknown.
    """
    _check_choice("form", form)
    regions = ops.cast(region_features, "float32")
    words = ops.cast(word_features, "float32")
    lengths = ops.cast(lengths, "int32")
    I, N, _ = ops.shape(regions)
    S, T, _ = ops.shape(words)
    known = isinstance(I, int) and isinstance(S, int)
    if known and max_elements >= I * S * T * N:
        scores = _word_scores(regions, words, lengths, gamma1, gamma2)
    else:
        size = max_elements // (I * T * N)
        size = max(size, 1) if known else ops.clip(size, 1, S)
        scores = _sliced_word_scores(
            regions, words, lengths, gamma1, gamma2, size
        )
    return scores / gamma2 if form == "paper" else scores


def sentence_scores(image_features, sentence_features):
    """Cosines float32 [I, S] of images [I, D] and sentences [S, D].

    They are R(Q, D) in the sentence terms of the DAMSM loss (paper, 3.2).
    """
    images = ops.cast(image_features, "float32")
    sentences = ops.cast(sentence_features, "float32")
    return _cosines(
        ops.matmul(images, ops.transpose(sentences)),
        ops.sum(ops.square(images), axis=-1)[:, None],
        ops.sum(ops.square(sentences), axis=-1),
    )


def matching_loss(scores, gamma3: float, class_ids=None):
    """Cross-entropies of matching within the batch (Eq. 11-13).

    The mean over the batch (released code; the paper prints the sum).

    Args:
      scores: float [B, B], R of image i (row) and sentence j; the matching
        pairs are on the diagonal.
      gamma3: factor of the scores.
      class_ids: int [B] or None. If given, pairs of one class are not
        mismatches of each other (released code).

    Returns:
      Two float32 scalars: the loss of finding the sentence of an image, and
      that of finding the image of a sentence.
    """
    logits = gamma3 * ops.cast(scores, "float32")
    labels = ops.arange(ops.shape(logits)[0], dtype="int32")
    if class_ids is not None:
        same = ops.equal(class_ids[:, None], class_ids[None, :])
        other = ops.not_equal(labels[:, None], labels[None, :])
        logits = ops.where(
            ops.logical_and(same, other), attention.MASKED, logits
        )

    entropy = ops.sparse_categorical_crossentropy
    sentences = entropy(labels, logits, from_logits=True)
    images = entropy(labels, ops.transpose(logits), from_logits=True)
    return ops.mean(sentences), ops.mean(images)


class DamsmLoss(NamedTuple):
    """The terms of Eq. 14, in its order, and their sum; float32 scalars."""

    words_image_to_text: Scalar
    words_text_to_image: Scalar
    sentences_image_to_text: Scalar
    sentences_text_to_image: Scalar
    total: Scalar


def damsm_loss(
    region_features,
    image_features,
    word_features,
    sentence_features,
    lengths,
    class_ids=None,
    *,
    gamma1: float,
    gamma2: float,
    gamma3: float,
    word_score: str = "paper",
) -> DamsmLoss:
    """The DAMSM loss of a batch (Eq. 14).

    The mismatched sentences of an image are those of the batch's other images.

    Args:
      region_features: float [B, N, D].
      image_features: float [B, D].
      word_features: float [B, T, D].
      sentence_features: float [B, D].
      lengths: int [B], number of words without padding, at least 1.
      class_ids: int [B] or None; see `matching_loss`.
      gamma1: see `word_scores`.
      gamma2: see `word_scores`.
      gamma3: see `matching_loss`; the same for words and sentences.
      word_score: the `form` of `word_scores`.

    Raises:
      ValueError: `word_score` is unknown.
    """
    words = word_scores(
        region_features,
        word_features,
        lengths,
        gamma1=gamma1,
        gamma2=gamma2,
        form=word_score,
    )
    sentences = sentence_scores(image_features, sentence_features)
    terms = (
        *matching_loss(words, gamma3, class_ids),
        *matching_loss(sentences, gamma3, class_ids),
    )
    return DamsmLoss(*terms, total=sum(terms))


class JointEmbeddingLoss(NamedTuple):
    """The terms of both directions and their sum; float32 scalars."""

    image_to_text: Scalar
    text_to_image: Scalar
    total: Scalar


def joint_embedding_loss(
    image_features, sentence_features, class_ids
) -> JointEmbeddingLoss:
    """The symmetric structured joint embedding loss of a batch.

    Reed et al. (CVPR 2016), Eq. 1-5, with inner products as scores: the score
    of each pair must exceed those with images and sentences of other classes
    by a margin of 1. The paper takes the maximum of the violations; its
    released code and this function take the mean.

    Args:
      image_features: float [B, D].
      sentence_features: float [B, D].
      class_ids: int [B]. Pairs of one class are not compared; a pair without
        another class in the batch has no loss.
    """
    images = ops.cast(image_features, "float32")
    sentences = ops.cast(sentence_features, "float32")
    scores = ops.matmul(images, ops.transpose(sentences))  # [B, B]
    own = ops.sum(images * sentences, axis=-1)
    others = ops.not_equal(class_ids[:, None], class_ids[None, :])
    others = ops.cast(others, "float32")
    counts = ops.maximum(ops.sum(others, axis=1), 1.0)

    def hinge(scores):
        excess = others * ops.relu(1.0 + scores - own[:, None])
        return ops.mean(ops.sum(excess, axis=1) / counts)

    terms = hinge(scores), hinge(ops.transpose(scores))
    return JointEmbeddingLoss(*terms, total=sum(terms))


def _real_loss(logits):
    """-E log sigmoid(logits)."""
    return ops.mean(ops.softplus(-ops.cast(logits, "float32")))


def _fake_loss(logits):
    """-E log(1 - sigmoid(logits))."""
    return ops.mean(ops.softplus(ops.cast(logits, "float32")))


def _if_given(loss, logits):
    return None if logits is None else loss(logits)


class GeneratorLoss(NamedTuple):
    """The mean of each term, and the weighted total."""

    unconditional: Scalar | None
    conditional: Scalar
    total: Scalar


def generator_loss(
    unconditional_logits, conditional_logits, scale: str = "paper"
) -> GeneratorLoss:
    """The generator's loss of one stage (Eq. 4).

    Args:
      unconditional_logits: float [B] of generated images, or None if the
        discriminator has none (AttnDCGAN).
      conditional_logits: float [B] of generated images.
      scale: "paper": half of the sum of the terms; "released": the sum.

    Raises:
      ValueError: `scale` is unknown.
    """
    _check_choice("scale", scale)
    unconditional = _if_given(_real_loss, unconditional_logits)
    conditional = _real_loss(conditional_logits)
    total = (
        conditional if unconditional is None else unconditional + conditional
    )
    if scale == "paper":
        total = 0.5 * total
    return GeneratorLoss(unconditional, conditional, total)


class DiscriminatorLoss(NamedTuple):
    """The mean of each term or None, and the weighted total."""

    real_unconditional: Scalar | None
    real_conditional: Scalar
    fake_unconditional: Scalar | None
    fake_conditional: Scalar
    wrong_conditional: Scalar | None
    total: Scalar


def discriminator_loss(
    real_unconditional,
    real_conditional,
    fake_unconditional,
    fake_conditional,
    wrong_conditional=None,
    wrong_factor=1.0,
) -> DiscriminatorLoss:
    """A discriminator's loss: Eq. 5, or the released code's.

    Without mismatched ("wrong") pairs it is half the sum of all terms (paper).
    With them it is (real_u + real_c) / 2 + (fake_u + fake_c + wrong_c) / 3 or,
    without unconditional logits (AttnDCGAN), real_c + (fake_c + wrong_c) / 2.

    Args:
      real_unconditional: logits float [B] of real images, or None.
      real_conditional: logits [B] of real images with their sentences.
      fake_unconditional: logits [B] of generated images, or None.
      fake_conditional: logits [B] of generated images.
      wrong_conditional: logits of real images with the sentences of other
        images (any number; B - 1 in the released code), or None.
      wrong_factor: factor of that term, for replicas with unequal numbers of
        mismatched pairs.
    """
    terms = {
        "real_unconditional": _if_given(_real_loss, real_unconditional),
        "real_conditional": _real_loss(real_conditional),
        "fake_unconditional": _if_given(_fake_loss, fake_unconditional),
        "fake_conditional": _fake_loss(fake_conditional),
        "wrong_conditional": _if_given(_fake_loss, wrong_conditional),
    }
    if wrong_conditional is not None:
        terms["wrong_conditional"] *= wrong_factor
    given = {k: v for k, v in terms.items() if v is not None}
    if wrong_conditional is None:
        total = 0.5 * sum(given.values())
    else:
        real = [v for k, v in given.items() if k.startswith("real")]
        false = [v for k, v in given.items() if not k.startswith("real")]
        total = sum(real) / len(real) + sum(false) / len(false)
    return DiscriminatorLoss(**terms, total=total)


def kl_loss(mu, logvar):
    """KL divergence of N(mu, exp(logvar)) from N(0, 1), a float32 scalar.

    Both inputs are float [B, C]. The mean over batch and dimensions (released
    code).
    """
    mu, logvar = ops.cast(mu, "float32"), ops.cast(logvar, "float32")
    return -0.5 * ops.mean(1.0 + logvar - ops.square(mu) - ops.exp(logvar))
