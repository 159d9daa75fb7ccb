"""A trained model, loaded from a workdir: what Python users call."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.config import Config
from attngan_tf.data.vocabulary import Vocabulary, tokenize
from attngan_tf.errors import UserError
from attngan_tf.models import build
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint
from attngan_tf.sampling import CaptionEncoder, Sampler, caption_seeds

NAMES = ("sentence_score", "word_score")
SCORED = 16  # captions and pictures compared at a time


class Model:
    """Draws pictures for captions, and scores how well they fit.

    Args:
      config: what it was trained with.
      sampler: draws the pictures.
      image_encoder: the DAMSM's.
    """

    def __init__(
        self, *, config: Config, sampler: Sampler, image_encoder: ImageEncoder
    ):
        self.config = config
        self.sampler = sampler
        self.image_encoder = image_encoder
        self.step = 0  # of GAN training

    def restore(self, which: str) -> None:
        """Takes the weights of a checkpoint; see `load`."""
        path = checkpoint.find(self.config.workdir, "gan", which)
        networks = {"average": self.sampler.generator}
        if self.config.finetune_damsm:
            networks["text_encoder"] = self.sampler.text_encoder
            networks["image_encoder"] = self.image_encoder
        checkpoint.restore_part(path, **networks)
        self.step = int(path.rsplit("-", 1)[1])

    def generate(
        self, captions: Sequence[str], seeds: Sequence[int] | None = None
    ) -> np.ndarray:
        """Pictures uint8 [B, H, W, 3]; without seeds, each caption's own."""
        return self.sampler.pictures(captions, seeds)

    def caption_seeds(self, captions: Sequence[str]) -> list[int]:
        """The seed each caption has of its own."""
        return caption_seeds(tf.constant(list(captions))).numpy().tolist()

    def unknown_words(self, captions: Sequence[str]) -> list[str]:
        """Words of captions that are not in the vocabulary, each once."""
        tokens = tokenize(tf.constant(list(captions))).flat_values.numpy()
        words = dict.fromkeys(token.decode() for token in tokens)
        known = set(self.sampler.vocabulary.words)
        return [word for word in words if word not in known]

    def encode_text(self, captions: Sequence[str]) -> dict[str, np.ndarray]:
        """Features of captions.

        Returns:
          token_ids int32 [B, T], lengths int32 [B], word_features float32
          [B, T, D], sentence_features float32 [B, D].
        """
        found = self.sampler.encode_text(tf.constant(list(captions)))
        return {name: value.numpy() for name, value in found.items()}

    def score(
        self, captions: Sequence[str], images: np.ndarray
    ) -> dict[str, np.ndarray]:
        """How well each picture fits its caption, by the DAMSM.

        Args:
          captions: B captions.
          images: uint8 [B, H, W, 3].

        Returns:
          sentence_score float32 [B], a cosine in [-1, 1]; word_score float32
          [B] (Eq. 10).
        """
        if len(captions) != len(images) or not len(captions):
            raise UserError(
                "each of one or more captions must have a picture; received "
                f"{len(captions)} captions and {len(images)} pictures"
            )
        parts = [
            self._score(captions[i : i + SCORED], images[i : i + SCORED])
            for i in range(0, len(captions), SCORED)
        ]
        return {k: np.concatenate([part[k] for part in parts]) for k in NAMES}

    def _score(self, captions, images) -> dict[str, np.ndarray]:
        text = self.sampler.encode_text(tf.constant(list(captions)))
        image = self.image_encoder(tf.cast(images, tf.float32) / 127.5 - 1.0)
        scores = pair_scores(self.config, text, image)
        return {name: score.numpy() for name, score in scores.items()}


def pair_scores(
    config: Config, text: dict[str, tf.Tensor], image: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """How well row b's picture fits row b's caption, by the DAMSM.

    Args:
      config: the constants of the word score.
      text: what `CaptionEncoder.encode_text` gives.
      image: what `ImageEncoder` gives, of as many rows.

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
        fn_output_signature=dict.fromkeys(NAMES, scalar),
    )


def trained_encoders(
    config: Config, vocabulary: Vocabulary, use_cudnn: bool | str = "auto"
) -> tuple[TextEncoder, ImageEncoder]:
    """The best encoders of a workdir.

    Raises:
      UserError: there are none, or the vocabulary does not fit them.
    """
    path = checkpoint.find(config.workdir, "damsm", "best")
    _check_vocabulary(vocabulary, path, config.workdir)
    text_encoder = build.text_encoder(config, len(vocabulary), use_cudnn)
    image_encoder = build.image_encoder(config, None)
    checkpoint.restore_part(
        path, text_encoder=text_encoder, image_encoder=image_encoder
    )
    return text_encoder, image_encoder


def _check_vocabulary(vocabulary: Vocabulary, path: str, workdir: str) -> None:
    """Raises UserError unless the words are as many as the embeddings."""
    reader = tf.train.load_checkpoint(path)
    rows = reader.get_tensor(
        f"{checkpoint.VOCABULARY_SIZE}/.ATTRIBUTES/VARIABLE_VALUE"
    )
    if rows != len(vocabulary):
        raise UserError(
            f"vocab.txt of {workdir} must have as many words as its text "
            f"encoder has embeddings; received {len(vocabulary)} words and "
            f"{rows} embeddings; put back the file the encoder was trained "
            "with"
        )


class Encoders(NamedTuple):
    """The DAMSM of a workdir."""

    config: Config
    caption_encoder: CaptionEncoder
    image_encoder: ImageEncoder


def load_encoders(
    workdir: str,
    use_cudnn: bool | str = "auto",
    precision: str | None = None,
    which: str = "last",
) -> Encoders:
    """The DAMSM of a workdir, whether or not its GAN is trained.

    Args:
      workdir: a run's folder.
      use_cudnn: False for a model to export.
      precision: of the networks; None: what they were trained in.
      which: see `load`; of encoders that are trained with the GAN.

    Raises:
      UserError: a file is missing, or files do not fit one another.
    """
    config = Config.load(workdir)
    if precision is not None:
        config = dataclasses.replace(config, precision=precision)
    vocabulary = Vocabulary.load(workdir)
    text_encoder, image_encoder = trained_encoders(
        config, vocabulary, use_cudnn
    )
    if config.finetune_damsm and checkpoint.exists(workdir, "gan"):
        checkpoint.restore_part(
            checkpoint.find(workdir, "gan", which),
            text_encoder=text_encoder,
            image_encoder=image_encoder,
        )
    caption_encoder = CaptionEncoder(
        vocabulary=vocabulary,
        text_encoder=text_encoder,
        words_num=config.words_num_test,
    )
    return Encoders(config, caption_encoder, image_encoder)


def load(
    workdir: str,
    which: str = "last",
    use_cudnn: bool | str = "auto",
    precision: str | None = None,
) -> Model:
    """The model of a workdir, with the average (EMA) of its weights.

    Args:
      workdir: a run's folder.
      which: which checkpoint of the GAN: last, best, or a step's number.
      use_cudnn: see `load_encoders`.
      precision: see `load_encoders`.

    Raises:
      UserError: a file is missing, or files do not fit one another.
    """
    config, caption_encoder, image_encoder = load_encoders(
        workdir, use_cudnn, precision, which
    )
    checkpoint.find(workdir, "gan", which)  # before the networks are made
    sampler = Sampler(
        caption_encoder=caption_encoder,
        generator=build.generator(config),
        condition_noise=config.condition_noise,
    )
    model = Model(config=config, sampler=sampler, image_encoder=image_encoder)
    model.restore(which)
    return model
