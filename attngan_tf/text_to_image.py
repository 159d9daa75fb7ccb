"""The path from captions and noise to images, and how to load it."""

import dataclasses
import functools
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.encoders import (
    CAPTIONS,
    SCORES,
    CaptionEncoder,
    Encoders,
    traced_once,
    trained_image_encoder,
    trained_text_encoder,
)
from attngan_tf.errors import UserError
from attngan_tf.models import build
from attngan_tf.models.generator import Generator
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.runs import checkpoint
from attngan_tf.sampling import caption_seeds, noise, slerp, to_uint8

BATCH_SIZE = 16  # images generated, or scored, at a time
SEEDS = tf.TensorSpec([None], tf.int64, name="seeds")
_NOISE = tf.TensorSpec([None, None], tf.float32)


class TextToImage(CaptionEncoder):
    """Generates images for captions, and scores how well they fit.

    The methods `encode` and `from_...` take and return tensors, in eager code
    or in a graph, such as that of an exported model. The others take Python
    lists and return arrays. `step` is the step of GAN training at which the
    weights were saved.
    """

    def __init__(
        self,
        *,
        config: Config,
        vocabulary: Vocabulary,
        text_encoder: TextEncoder,
        generator: Generator,
        step: int = 0,
    ):
        super().__init__(
            vocabulary=vocabulary,
            text_encoder=text_encoder,
            words_num=config.words_num_test,
        )
        self.config = config
        self.generator = generator
        self.step = step

    @property
    def last_images(self) -> str:
        """Name of the last stage's images among the outputs."""
        return f"images_{self.generator.image_sizes[-1]}"

    @traced_once(CAPTIONS, _NOISE, _NOISE)
    def from_noise(
        self, captions: tf.Tensor, z: tf.Tensor, eps: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The generator's outputs (see `Generator.call`) and the text features.

        For captions string [B], z float32 [B, Z] and eps float32
        [B, condition_size].
        """
        text = self.encode(captions)
        z = tf.ensure_shape(z, [None, self.generator.z_size])
        eps = tf.ensure_shape(eps, [None, self.generator.condition_size])
        return text | self.generator({**text, "z": z, "eps": eps})

    @traced_once(CAPTIONS, SEEDS)
    def from_seeds(
        self, captions: tf.Tensor, seeds: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """As `from_noise`, with noise sampled from seeds int64 [B]."""
        return self.from_noise(captions, *self._noise(seeds))

    def from_features(
        self, text: Mapping[str, tf.Tensor], seeds: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The generator's outputs for features that `encode` returned."""
        z, eps = self._noise(seeds)
        names = ("word_features", "sentence_features", "lengths")
        return self.generator(
            {k: text[k] for k in names} | {"z": z, "eps": eps}
        )

    def _noise(self, seeds: tf.Tensor) -> list[tf.Tensor]:
        """Z and eps; without --condition_noise (released code), eps is 0."""
        z, eps = noise(
            seeds, self.generator.z_size, self.generator.condition_size
        )
        return [z, eps * float(self.config.condition_noise)]

    @traced_once(CAPTIONS, SEEDS, tf.TensorSpec([], tf.float32))
    def from_ends(
        self, captions: tf.Tensor, seeds: tf.Tensor, fraction: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Interpolates between two captions or noises: one row of outputs.

        Noise is interpolated spherically (see `slerp`), the sentence features
        and each word context (Eq. 2) linearly. Word features cannot be
        interpolated: captions differ in length, and the third word of one has
        nothing to do with the third of the other. If only the words of the
        nearer caption were used, the image would jump half way, since it
        depends more on the words than on the sentence.

        Captions string [2] and seeds int64 [2] are of the first and the last
        image; the fraction is from 0 (first) to 1 (last).
        """
        # Encoded one at a time, so that the ends exactly equal the images that
        # are generated for one caption.
        first, last = (self.encode(captions[i : i + 1]) for i in (0, 1))
        sentences = [text["sentence_features"] for text in (first, last)]
        z, eps = (
            slerp(pair[0], pair[1], fraction)[None]
            for pair in self._noise(seeds)
        )
        return self.generator(
            {
                "sentence_features": (1 - fraction) * sentences[0]
                + fraction * sentences[1],
                "word_features": first["word_features"],
                "lengths": first["lengths"],
                "last_word_features": last["word_features"],
                "last_lengths": last["lengths"],
                "alpha": fraction,
                "z": z,
                "eps": eps,
            }
        )

    def generate(
        self,
        captions: Sequence[str],
        seeds: Sequence[int] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> np.ndarray:
        """The last stage's images, uint8 [B, H, W, 3].

        Arguments and errors as for `outputs`. Warnings describe the words and
        captions that the model ignores.
        """
        for note in self.notes(_checked_captions(captions)):
            warnings.warn(note, stacklevel=2)
        return self.images(captions, seeds, batch_size)

    def images(
        self,
        captions: Sequence[str],
        seeds: Sequence[int] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> np.ndarray:
        """As `generate`, without warnings."""
        name = self.last_images
        return to_uint8(
            self.outputs(captions, seeds, [name], batch_size)[name]
        ).numpy()

    def outputs(
        self,
        captions: Sequence[str],
        seeds: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> dict[str, np.ndarray]:
        """Outputs of `from_seeds` for B captions, in batches.

        Args:
          captions: a list.
          seeds: of the noise; None: `caption_seeds`.
          names: the outputs to return; None: all.
          batch_size: number of images generated at a time.

        Returns:
          Arrays by name, each with B rows.

        Raises:
          UserError: captions is not a list of strings, or the number of seeds
            differs.
        """
        captions = _checked_captions(captions)
        if not captions or (seeds is not None and len(seeds) != len(captions)):
            raise UserError(
                "there must be one or more captions, and one seed for each or "
                f"None; received {len(captions)} captions and {seeds} as seeds"
            )
        if seeds is None:
            seeds = self.caption_seeds(captions)
        batches = []
        for i in range(0, len(captions), batch_size):
            outputs = self.from_seeds(
                tf.constant(captions[i : i + batch_size], tf.string),
                tf.constant(list(seeds[i : i + batch_size]), tf.int64),
            )
            batches.append({k: outputs[k].numpy() for k in names or outputs})
        return {k: np.concatenate([x[k] for x in batches]) for k in batches[0]}

    def interpolate(
        self,
        captions: Sequence[str],
        seeds: Sequence[int],
        fractions: Sequence[float],
    ) -> np.ndarray:
        """The last stage's images of `from_ends` for N fractions.

        Returns uint8 [N, H, W, 3]. Images are generated one at a time, since
        other batch sizes round differently: fractions 0 and 1 give exactly the
        images of the ends.
        """
        ends = tf.constant(list(captions)), tf.constant(list(seeds), tf.int64)
        images = [
            self.from_ends(*ends, tf.constant(x, tf.float32))[self.last_images]
            for x in fractions
        ]
        return to_uint8(tf.concat(images, axis=0)).numpy()

    def caption_seeds(self, captions: Sequence[str]) -> list[int]:
        """The default seed of each caption: a hash of its text."""
        captions = _checked_captions(captions)
        return caption_seeds(tf.constant(captions, tf.string)).numpy().tolist()

    def encode_text(self, captions: Sequence[str]) -> dict[str, np.ndarray]:
        """Features of captions, as arrays; see `encode`."""
        captions = _checked_captions(captions)
        features = self.encode(tf.constant(captions, tf.string))
        return {name: value.numpy() for name, value in features.items()}

    @functools.cached_property
    def image_encoder(self) -> ImageEncoder:
        """The DAMSM's image encoder, loaded when something is scored."""
        encoder = trained_image_encoder(self.config)
        if self.config.finetune_damsm:
            checkpoint.restore(
                self.config.workdir,
                "gan",
                str(self.step),
                image_encoder=encoder,
            )
        return encoder

    @property
    def encoders(self) -> Encoders:
        """The DAMSM that the generator was trained with."""
        return Encoders(self.config, self, self.image_encoder)

    def score(
        self, captions: Sequence[str], images: np.ndarray
    ) -> dict[str, np.ndarray]:
        """How well images uint8 [B, H, W, 3] fit their captions, by the DAMSM.

        Returns:
          sentence_score float32 [B], a cosine in [-1, 1]; word_score float32
          [B] (Eq. 10).

        Raises:
          UserError: there are no captions, the number of images differs, or
            they have another type.
        """
        captions = _checked_captions(captions)
        if (kind := np.asarray(images).dtype) != np.uint8:
            raise UserError(
                "images must be uint8, from 0 to 255, as generate returns "
                f"them; received {kind}"
            )
        if len(captions) != len(images) or not captions:
            raise UserError(
                "each of one or more captions must have an image; received "
                f"{len(captions)} captions and {len(images)} images"
            )
        batches = [
            self.encoders.score(
                tf.constant(captions[i : i + BATCH_SIZE]),
                images[i : i + BATCH_SIZE],
            )
            for i in range(0, len(captions), BATCH_SIZE)
        ]
        return {k: np.concatenate([x[k] for x in batches]) for k in SCORES}

    def restore(self, which: str) -> None:
        """Restores the weights of a GAN checkpoint; see `load`."""
        networks = {"average": self.generator}
        if self.config.finetune_damsm:
            networks["text_encoder"] = self.text_encoder
            self.__dict__.pop("image_encoder", None)
        self.step = checkpoint.restore(
            self.config.workdir, "gan", which, **networks
        )


def _checked_captions(captions: Sequence[str]) -> list[str]:
    """The captions as a list.

    Raises:
      UserError: they are not a list of strings.
    """
    if isinstance(captions, (str, bytes)):
        raise UserError(
            "captions must be a list of strings; received the string "
            f"{captions!r}; put it in brackets"
        )
    captions = list(captions)
    for caption in captions:
        if not isinstance(caption, (str, bytes)):
            raise UserError(
                f"captions must be a list of strings; received {caption!r} in "
                "it"
            )
    return captions


def load(
    workdir: str,
    which: str = "last",
    use_cudnn: bool | str = "auto",
    precision: str | None = None,
) -> TextToImage:
    """The model of a workdir, with averaged (EMA) weights.

    Args:
      workdir: a run's folder.
      which: checkpoint of the GAN: last, best, or a step.
      use_cudnn: False for a model that will be exported.
      precision: of the networks; None: that of training.

    Raises:
      UserError: a file is missing, or files do not fit one another.
    """
    config = Config.load(workdir)
    if precision is not None:
        config = dataclasses.replace(config, precision=precision)
    vocabulary = Vocabulary.load(workdir, config.tokenizer)
    text_encoder = trained_text_encoder(config, vocabulary, use_cudnn)
    checkpoint.paths(workdir, "gan", which)  # fails before networks are built
    model = TextToImage(
        config=config,
        vocabulary=vocabulary,
        text_encoder=text_encoder,
        generator=build.generator(config),
    )
    model.restore(which)
    return model
