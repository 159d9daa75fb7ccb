"""From captions and noise to pictures: the only path.

Previews, metrics, the commands and the exported SavedModel use it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.models.generator import Generator
from attngan_tf.models.text_encoder import TextEncoder

CAPTIONS = tf.TensorSpec([None], tf.string, name="captions")
SEEDS = tf.TensorSpec([None], tf.int64, name="seeds")
_NOISE = tf.TensorSpec([None, None], tf.float32)


def noise(seeds: tf.Tensor, *sizes: int) -> list[tf.Tensor]:
    """Standard normal float32 [B, size] for each size.

    A row depends on its seed alone; the seeds are int64 [B].
    """

    def rows(seed):
        return [
            tf.random.stateless_normal(
                [size], tf.stack([seed, kind]), alg="philox"
            )
            for kind, size in enumerate(sizes)
        ]

    specs = [tf.TensorSpec([size], tf.float32) for size in sizes]
    return tf.map_fn(rows, seeds, fn_output_signature=specs)


def spherical(first: tf.Tensor, last: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """A place on the great circle between two noises float32 [Z].

    Between them on the straight line are vectors shorter than any noise that
    the generator has seen (White 2016, arXiv:1609.04468). Share 0 gives the
    first exactly, 1 the last; those of one direction have the straight line.
    """
    lengths = tf.norm(first) * tf.norm(last)
    cosine = tf.math.divide_no_nan(tf.reduce_sum(first * last), lengths)
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    sine = tf.sin(angle)
    straight = sine < 1e-3  # the quotients below would be mostly rounding
    sine = tf.where(straight, 1.0, sine)
    a = tf.where(straight, 1 - share, tf.sin((1 - share) * angle) / sine)
    b = tf.where(straight, share, tf.sin(share * angle) / sine)
    return a * first + b * last


def caption_seeds(captions: tf.Tensor) -> tf.Tensor:
    """A seed int64 [B] for each caption: the same caption, the same seed."""
    return tf.strings.to_hash_bucket_fast(captions, 2**31 - 1)


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float32 [..., 3] in [-1, 1] -> uint8, rounded to the nearest."""
    scaled = tf.round((images + 1.0) * 127.5)
    return tf.cast(tf.clip_by_value(scaled, 0.0, 255.0), tf.uint8)


def _traced_once(*inputs: tf.TensorSpec):
    """A method as one graph, which signatures of an exported model share."""
    return tf.function(input_signature=inputs, autograph=False)


class CaptionEncoder:
    """Captions to features.

    Args:
      vocabulary: the words.
      text_encoder: trained.
      words_num: words of a caption that are used (T).
    """

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

    @_traced_once(CAPTIONS)
    def encode_text(self, captions: tf.Tensor) -> dict[str, tf.Tensor]:
        """Features of captions string [B].

        Returns:
          token_ids int32 [B, T], lengths int32 [B], word_features [B, T, D],
          sentence_features [B, D].
        """
        token_ids, lengths = self.vocabulary.encode(captions, self.words_num)
        features = self.text_encoder(token_ids, lengths)
        return {"token_ids": token_ids, "lengths": lengths, **features}


class Sampler(CaptionEncoder):
    """Draws pictures for captions.

    Args:
      caption_encoder: another sampler may stand for it.
      generator: trained; the average of its weights, as a rule.
      condition_noise: whether eps is drawn (released code); otherwise zero.
    """

    def __init__(
        self,
        *,
        caption_encoder: CaptionEncoder,
        generator: Generator,
        condition_noise: bool,
    ):
        super().__init__(
            vocabulary=caption_encoder.vocabulary,
            text_encoder=caption_encoder.text_encoder,
            words_num=caption_encoder.words_num,
        )
        self.generator = generator
        self.condition_noise = condition_noise

    @property
    def last_images(self) -> str:
        """Name of the largest pictures among the outputs."""
        return f"images_{self.generator.image_sizes[-1]}"

    @_traced_once(CAPTIONS, _NOISE, _NOISE)
    def from_noise(
        self, captions: tf.Tensor, z: tf.Tensor, eps: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The generator's outputs (see `Generator.call`), with the text's.

        Args:
          captions: string [B].
          z: float32 [B, Z].
          eps: float32 [B, condition_size].
        """
        text = self.encode_text(captions)
        z = tf.ensure_shape(z, [None, self.generator.z_size])
        eps = tf.ensure_shape(eps, [None, self.generator.condition_size])
        return text | self.generator({**text, "z": z, "eps": eps})

    @_traced_once(CAPTIONS, SEEDS)
    def from_seeds(
        self, captions: tf.Tensor, seeds: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The same with noise drawn from seeds int64 [B]."""
        z, eps = self._noise(seeds)
        return self.from_noise(captions, z, eps)

    def from_text(
        self, text: Mapping[str, tf.Tensor], seeds: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The generator's outputs for what `encode_text` gave; in a graph."""
        z, eps = self._noise(seeds)
        names = ("word_features", "sentence_features", "lengths")
        return self.generator(
            {k: text[k] for k in names} | {"z": z, "eps": eps}
        )

    def _noise(self, seeds: tf.Tensor) -> list[tf.Tensor]:
        z, eps = noise(
            seeds, self.generator.z_size, self.generator.condition_size
        )
        return [z, eps * float(self.condition_noise)]

    @_traced_once(CAPTIONS, SEEDS, tf.TensorSpec([], tf.float32))
    def from_ends(
        self, captions: tf.Tensor, seeds: tf.Tensor, share: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The generator's outputs, one row, on the way between two pictures.

        The noises go along great circles (see `spherical`). The sentence
        features go straight, and so does each word context (Eq. 2). Words
        themselves cannot: captions differ in their number, and the third of
        one has nothing to do with the third of another. The words of the
        nearer caption alone make the picture jump half way, for it follows
        them more than it does the sentence.

        Args:
          captions: string [2], of the first and the last picture.
          seeds: int64 [2], theirs.
          share: of the way, float32 from 0, the first picture, to 1, the last.
        """
        # Each alone, as a caption of its own would be: bit for bit.
        first, last = (self.encode_text(captions[i : i + 1]) for i in (0, 1))
        sentences = [text["sentence_features"] for text in (first, last)]
        sizes = self.generator.z_size, self.generator.condition_size
        z, eps = (
            spherical(both[0], both[1], share)[None]
            for both in noise(seeds, *sizes)
        )
        return self.generator(
            {
                "sentence_features": (1 - share) * sentences[0]
                + share * sentences[1],
                "word_features": first["word_features"],
                "lengths": first["lengths"],
                "last_word_features": last["word_features"],
                "last_lengths": last["lengths"],
                "alpha": share,
                "z": z,
                "eps": eps * float(self.condition_noise),
            }
        )

    def way(
        self,
        captions: Sequence[str],
        seeds: Sequence[int],
        shares: Sequence[float],
    ) -> np.ndarray:
        """The last stage's pictures on the way from one to another.

        Drawn one at a time, for a batch of another size rounds otherwise:
        shares 0 and 1 give what the ends give alone, bit for bit.

        Args:
          captions: of both ends; see `from_ends`.
          seeds: of both ends.
          shares: N, each from 0 to 1.

        Returns:
          uint8 [N, H, W, 3].
        """
        ends = tf.constant(list(captions)), tf.constant(list(seeds), tf.int64)

        def picture(share):
            outputs = self.from_ends(*ends, tf.constant(share, tf.float32))
            return to_uint8(outputs[self.last_images]).numpy()

        return np.concatenate([picture(share) for share in shares])

    def outputs(
        self,
        captions: Sequence[str],
        seeds: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        batch_size: int = 16,
    ) -> dict[str, np.ndarray]:
        """Outputs for any number of captions, in batches.

        Args:
          captions: N captions.
          seeds: N seeds; None: each caption's own.
          names: which outputs to keep; None: all.
          batch_size: captions drawn at a time.
        """
        if isinstance(captions, str):
            raise UserError(
                "captions must be a list of strings; received the string "
                f"{captions!r}; put it in brackets"
            )
        captions = tf.constant(list(captions), tf.string)
        if not len(captions) or (
            seeds is not None and len(seeds) != len(captions)
        ):
            raise UserError(
                "there must be one or more captions, and as many seeds if any; "
                f"received {len(captions)} captions and {seeds} as seeds"
            )
        seeds = (
            caption_seeds(captions)
            if seeds is None
            else tf.constant(list(seeds), tf.int64)
        )
        rows = []
        for first in range(0, len(captions), batch_size):
            part = slice(first, first + batch_size)
            found = self.from_seeds(captions[part], seeds[part])
            rows.append({k: found[k].numpy() for k in names or found})
        return {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}

    def pictures(
        self,
        captions: Sequence[str],
        seeds: Sequence[int] | None = None,
        batch_size: int = 16,
    ) -> np.ndarray:
        """The last stage's pictures: uint8 [N, H, W, 3]."""
        found = self.outputs(captions, seeds, [self.last_images], batch_size)
        return to_uint8(found[self.last_images]).numpy()
