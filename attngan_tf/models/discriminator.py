"""The discriminator of one image size (paper, 3.1)."""

import keras
from keras import ops

from attngan_tf.models.layers import blocks
from attngan_tf.models.layers.batch_norm import BatchNorm


class Discriminator(keras.Model):
    """Logits of images alone and of images with a sentence.

    4x4 convolutions halve the image until it is 4x4. For sizes above 64, 3x3
    convolutions then reduce the channels to 8 DF.

    Args:
      image_size: side of the images, 4 times a power of two, at least 8.
      df: DF, channels of the first map at sizes of at least 64. Smaller sizes
        start with more channels, so that all end with 8 DF.
      sentence_size: D, size of the sentence features.
      unconditional: whether there are logits of images alone (AttnDCGAN has
        none).
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
        self.trunk = keras.Sequential(self._backbone())  # name in checkpoints
        self.joint = keras.Sequential(
            blocks.leaky_block(8 * df, 3, 1, dtype=dtype)
        )
        self.conditional_head = _logit()
        self.unconditional_head = _logit() if unconditional else None

    def _backbone(self) -> list[keras.Layer]:
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

    @property
    def backbone(self) -> keras.Sequential:
        """The layers from images to features."""
        return self.trunk

    def build(self, input_shape=None):
        S, top = self.image_size, 8 * self.df
        self.backbone.build((None, S, S, 3))
        self.joint.build((None, 4, 4, top + self.sentence_size))
        self.conditional_head.build((None, 4, 4, top))
        if self.unconditional_head is not None:
            self.unconditional_head.build((None, 4, 4, top))

    def features(self, images, training=False):
        """Images [B, S, S, 3] in [-1, 1] -> features [B, 4, 4, 8 DF]."""
        return self.backbone(images, training=training)

    def features_of_batches(self, batches, training=False):
        """Features of each of several batches, normalized separately by BN.

        The result equals that of `features` for each batch. The convolutions
        process all batches as one, so that the gradient of each kernel is
        computed once instead of once for each batch.
        """
        x = ops.concatenate(batches, axis=0)
        for layer in self.backbone.layers:
            if isinstance(layer, BatchNorm):
                parts = ops.split(x, len(batches), axis=0)
                x = ops.concatenate(
                    [layer(part, training=training) for part in parts], axis=0
                )
            else:
                x = layer(x)
        return ops.split(x, len(batches), axis=0)

    def conditional(self, features, sentence_features, training=False):
        """Logits float32 [B]: does the image match the sentence [B, D]?"""
        sentence = ops.cast(sentence_features, features.dtype)
        tiled = blocks.tile_vector(sentence, features)
        joined = ops.concatenate([features, tiled], axis=-1)
        return _flat(
            self.conditional_head(self.joint(joined, training=training))
        )

    def unconditional_logits(self, features):
        """Logits float32 [B]: is the image real? None if not computed."""
        if self.unconditional_head is None:
            return None
        return _flat(self.unconditional_head(features))

    def call(self, inputs, training=False):
        """Both kinds of logits, for a dict of images and sentence_features.

        Returns:
          A dict of float32 [B]: conditional and, if computed, unconditional.
        """
        features = self.features(inputs["images"], training=training)
        logits = {
            "conditional": self.conditional(
                features, inputs["sentence_features"], training=training
            )
        }
        if self.unconditional:
            logits["unconditional"] = self.unconditional_logits(features)
        return logits


def _logit() -> keras.Layer:
    """A convolution of a 4x4 map to one logit, with bias, always in float32."""
    return keras.layers.Conv2D(
        1,
        4,
        strides=4,
        kernel_initializer=keras.initializers.Orthogonal(),
        dtype="float32",
    )


def _flat(logits):
    return ops.reshape(logits, [-1])
