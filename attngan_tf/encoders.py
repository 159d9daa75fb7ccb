"""The DAMSM's trained encoders: features of captions and images, and scores."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.config import Config
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.models import build
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint

CAPTIONS = tf.TensorSpec([None], tf.string, name="captions")
SCORES = ("sentence_score", "word_score")


def traced_once(*inputs: tf.TensorSpec):
    """Decorator: makes a method a `tf.function` that is traced only once."""
    return tf.function(input_signature=inputs, autograph=False)


class CaptionEncoder:
    """Encodes captions, of which at most T = words_num words are used."""

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        text_encoder: TextEncoder,
        words_num: int,
    ):
        self.vocabulary = vocabulary
        self.text_encoder = text_encoder
        self.words_num = words_num

    @traced_once(CAPTIONS)
    def encode(self, captions: tf.Tensor) -> dict[str, tf.Tensor]:
        """Features of captions string [B].

        Returns:
          token_ids int32 [B, T], lengths int32 [B], word_features float32
          [B, T, D], sentence_features float32 [B, D].
        """
        token_ids, lengths = self.vocabulary.encode(captions, self.words_num)
        features = self.text_encoder(token_ids, lengths)
        return {"token_ids": token_ids, "lengths": lengths, **features}

    def notes(self, captions: Sequence[str | bytes]) -> list[str]:
        """Describes the words and captions that the model ignores."""
        notes, T = [], self.words_num
        captions = list(captions)
        if unknown := self.vocabulary.unknown_words(captions):
            notes.append(
                f"words that are not in the vocabulary: {', '.join(unknown)}"
            )
        known = self.vocabulary.known_ids(tf.constant(captions, tf.string))
        counts = known.row_lengths().numpy()
        if empty := _quoted(captions, counts == 0):
            notes.append(
                "captions without a word of the vocabulary, whose images "
                f"depend on the noise alone: {empty}"
            )
        if long := _quoted(captions, counts > T):
            notes.append(
                f"captions of which only the first {T} known words are used: "
                f"{long}"
            )
        return notes


def _quoted(
    captions: Sequence[str | bytes], chosen: np.ndarray, max_named: int = 3
) -> str:
    """Quotes the first chosen captions, and counts the others; "" for none."""
    named = []
    for i in np.flatnonzero(chosen):
        text = captions[i]
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        named.append(repr(textwrap.shorten(text, 60, placeholder="...")))
    more = len(named) - max_named
    return ", ".join(named[:max_named]) + f" and {more} more" * (more > 0)


class Encoders(NamedTuple):
    """The DAMSM of a workdir; the image encoder is None if it has none."""

    config: Config
    caption_encoder: CaptionEncoder
    image_encoder: ImageEncoder | None

    def score(
        self, captions: tf.Tensor, images: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """`pair_scores` of captions [B] and images uint8 [B, H, W, 3]."""
        text = self.caption_encoder.encode(captions)
        image = self.image_encoder(tf.cast(images, tf.float32) / 127.5 - 1.0)
        return pair_scores(self.config, text, image)


def pair_scores(
    config: Config, text: dict[str, tf.Tensor], image: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """How well the image of each row fits the caption of that row.

    The features are those of `CaptionEncoder.encode` and of `ImageEncoder`.

    Returns:
      sentence_score float32 [B], a cosine; word_score float32 [B] (Eq. 10).
    """

    def score(row):
        text, image = tf.nest.map_structure(lambda x: x[None], row)
        sentence = losses.sentence_scores(
            image["image_features"], text["sentence_features"]
        )
        words = losses.word_scores(
            image["region_features"],
            text["word_features"],
            text["lengths"],
            gamma1=config.damsm_gamma1,
            gamma2=config.damsm_gamma2,
            form=config.word_score,
        )
        return {"sentence_score": sentence[0, 0], "word_score": words[0, 0]}

    scalar = tf.TensorSpec([], tf.float32)
    return tf.map_fn(
        score,
        (dict(text), dict(image)),
        fn_output_signature=dict.fromkeys(SCORES, scalar),
    )


def load_encoders(
    workdir: str,
    use_cudnn: bool | str = "auto",
    precision: str | None = None,
    which: str = "last",
) -> Encoders:
    """The encoders of a workdir, whether or not its GAN is trained.

    Args:
      workdir: a run's folder.
      use_cudnn: False for a model that will be exported.
      precision: of the networks; None: that of training.
      which: GAN checkpoint (last, best, or a step) of encoders that were
        trained together with the GAN.

    Raises:
      UserError: a file is missing, or files do not fit one another.
    """
    config = Config.load(workdir)
    if precision is not None:
        config = dataclasses.replace(config, precision=precision)
    vocabulary = Vocabulary.load(workdir, config.tokenizer)
    text_encoder, image_encoder = trained_encoders(
        config, vocabulary, use_cudnn
    )
    if config.finetune_damsm and checkpoint.exists(workdir, "gan"):
        checkpoint.restore(
            workdir,
            "gan",
            which,
            text_encoder=text_encoder,
            image_encoder=image_encoder,
        )
    caption_encoder = CaptionEncoder(
        vocabulary=vocabulary,
        text_encoder=text_encoder,
        words_num=config.words_num_test,
    )
    return Encoders(config, caption_encoder, image_encoder)


def trained_encoders(
    config: Config, vocabulary: Vocabulary, use_cudnn: bool | str = "auto"
) -> tuple[TextEncoder, ImageEncoder]:
    """Both encoders; raises as `trained_text_encoder` does."""
    return (
        trained_text_encoder(config, vocabulary, use_cudnn),
        trained_image_encoder(config),
    )


def trained_text_encoder(
    config: Config, vocabulary: Vocabulary, use_cudnn: bool | str = "auto"
) -> TextEncoder:
    """The best pre-trained text encoder of a workdir.

    Raises:
      UserError: there is none, or the vocabulary does not fit it.
    """
    embeddings = checkpoint.vocabulary_size(config.workdir)
    if embeddings != len(vocabulary):
        raise UserError(
            f"vocab.txt of {config.workdir} must have as many words as its "
            f"text encoder has embeddings; received {len(vocabulary)} words "
            f"and {embeddings} embeddings; restore the file that the encoder "
            "was trained with"
        )
    text_encoder = build.text_encoder(config, len(vocabulary), use_cudnn)
    checkpoint.restore(
        config.workdir, "damsm", "best", text_encoder=text_encoder
    )
    return text_encoder


def trained_image_encoder(config: Config) -> ImageEncoder:
    """The best pre-trained image encoder of a workdir.

    Raises:
      UserError: there is none.
    """
    check_image_encoder(config.workdir)
    image_encoder = build.image_encoder(config, None)
    checkpoint.restore(
        config.workdir, "damsm", "best", image_encoder=image_encoder
    )
    return image_encoder


def has_image_encoder(workdir: str) -> bool:
    """Whether a workdir has an image encoder; converted ones may have none."""
    path = checkpoint.find(workdir, "damsm", "best")
    return "image_encoder" in checkpoint.parts(path)


def check_image_encoder(workdir: str) -> None:
    """Raises UserError if a workdir has no image encoder."""
    if not has_image_encoder(workdir):
        raise UserError(
            "scoring and training need an image encoder; received "
            f"{workdir}, which was converted without one; convert the model "
            "again with --image_encoder"
        )
