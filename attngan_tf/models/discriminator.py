"""A discriminator for one size of pictures (paper, Eq. 4 and 5)."""

import keras
from keras import ops

from attngan_tf.models.layers import blocks
from attngan_tf.models.layers.batch_norm import BatchNorm


class Discriminator(keras.Model):
    """Judges pictures alone and together with a sentence.

    The picture is halved by 4x4 convolutions down to 4x4; sizes above 64
    then come back to 8 DF channels by 3x3 convolutions.

    Args:
      image_size: side of the pictures, 4 times a power of two, at least 8.
      df: channels of the first map at sizes from 64 (DF). Smaller sizes
        start wider, so that all end with 8 DF.
      sentence_size: D, size of the sentence features.
      unconditional: whether to judge pictures alone, too (AttnDCGAN's does
        not).
    """

    reads = "images"

    def __init__(
        self,
        *,
        image_size: int,
        df: int = 64,
        sentence_size: int = 256,
        unconditional: bool = True,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.image_size = image_size
        self.df = df
        self.sentence_size = sentence_size
        self.unconditional = unconditional
        dtype = self.dtype_policy
        self.trunk = keras.Sequential(self._trunk())
        self.joint = keras.Sequential(
            blocks.leaky_block(8 * df, 3, 1, dtype=dtype)
        )
        self.conditional_head = _logit()
        self.unconditional_head = _logit() if unconditional else None

    def _trunk(self) -> list[keras.Layer]:
        dtype, top = self.dtype_policy, 8 * self.df
        halvings = (self.image_size // 4).bit_length() - 1
        channels = top // 2 ** min(3, halvings - 1)
        layers = []
        for i in range(halvings):
            layers += blocks.leaky_block(channels, 4, 2, i > 0, dtype=dtype)
            channels *= 2
        channels //= 2
        while channels > top:
            channels //= 2
            layers += blocks.leaky_block(channels, 3, 1, dtype=dtype)
        return layers

    def build(self, input_shape=None):
        S, top = self.image_size, 8 * self.df
        self.trunk.build((None, S, S, 3))
        self.joint.build((None, 4, 4, top + self.sentence_size))
        self.conditional_head.build((None, 4, 4, top))
        if self.unconditional_head is not None:
            self.unconditional_head.build((None, 4, 4, top))

    def code(self, images, training=False):
        """Pictures [B, S, S, 3] in [-1, 1] -> their codes [B, 4, 4, 8 DF]."""
        return self.trunk(images, training=training)

    def codes(self, batches, training=False):
        """Codes of each of several batches, which BN sees one by one.

        It gives what `code` of each in turn does. Convolutions, though, take
        all as one batch, so that each kernel has one gradient, not one a batch
        to add up.
        """
        x = ops.concatenate(batches, axis=0)
        for layer in self.trunk.layers:
            if isinstance(layer, BatchNorm):
                parts = ops.split(x, len(batches), axis=0)
                x = ops.concatenate(
                    [layer(part, training=training) for part in parts], axis=0
                )
            else:
                x = layer(x)
        return ops.split(x, len(batches), axis=0)

    def conditional(self, code, sentence_features, training=False):
        """Logits float32 [B]: does the picture fit the sentence [B, D]?"""
        sentence = ops.cast(sentence_features, code.dtype)
        tiled = blocks.tile_vector(sentence, code)
        joined = ops.concatenate([code, tiled], axis=-1)
        return _flat(
            self.conditional_head(self.joint(joined, training=training))
        )

    def unconditional_logits(self, code):
        """Logits float32 [B]: is the picture real? None where not judged."""
        if self.unconditional_head is None:
            return None
        return _flat(self.unconditional_head(code))

    def call(self, inputs, training=False):
        """Both judgements, as a dict, of images and sentence_features."""
        code = self.code(inputs["images"], training=training)
        logits = {
            "conditional": self.conditional(
                code, inputs["sentence_features"], training=training
            )
        }
        if self.unconditional:
            logits["unconditional"] = self.unconditional_logits(code)
        return logits


def _logit() -> keras.Layer:
    """The convolution 4x4 -> 1 of a logit, with bias, always in float32."""
    return keras.layers.Conv2D(
        1,
        4,
        strides=4,
        kernel_initializer=keras.initializers.Orthogonal(),
        dtype="float32",
    )


def _flat(logits):
    return ops.reshape(logits, [-1])
