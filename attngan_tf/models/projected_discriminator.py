"""A discriminator that reads feature maps of the image encoder.

Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021: a trained network
already has image features that AttnGAN's discriminators must first learn.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from attngan_tf.models.layers.blocks import LEAK
from attngan_tf.models.layers.convolutions import SpectralConvolution
from attngan_tf.models.layers.resizing import resize_aligned

SMALLEST_HALVED = 6  # side of the smallest map that is halved


class RandomProjection(keras.layers.Layer):
    """Fixed random mixing of a network's maps, over channels and scales.

    Random 1x1 convolutions give the maps df, 2 df, 4 df, ... channels. Then,
    starting with the coarsest, each map is convolved (3x3, random), enlarged
    and added to the next finer one (Projected GANs, 3.2). The kernels depend
    on the seed alone: they are constants, not weights.

    Args:
      map_shapes: height, width and channels of each map, from fine to coarse.
      df: channels of the finest projected map.
      seed: seed of the kernels.
    """

    def __init__(
        self,
        map_shapes: Sequence[tuple[int, int, int]],
        df: int,
        seed: int,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.map_shapes = [tuple(shape) for shape in map_shapes]
        self.channels = [df * 2**i for i in range(len(map_shapes))]
        rng = np.random.default_rng(seed)
        self._mixing = [
            _random_kernel(rng, 1, shape[-1], channels)
            for shape, channels in zip(
                self.map_shapes, self.channels, strict=True
            )
        ]
        self._upward = [
            _random_kernel(rng, 3, coarse, fine)
            for fine, coarse in zip(
                self.channels[:-1], self.channels[1:], strict=True
            )
        ]

    def call(self, maps):
        """Maps [B, h, w, channels] -> as many [B, h, w, projected channels]."""
        mixed = [
            ops.conv(x, ops.cast(kernel, x.dtype))
            for x, kernel in zip(maps, self._mixing, strict=True)
        ]
        for i in reversed(range(len(mixed) - 1)):
            coarse, fine = mixed[i + 1], mixed[i]
            kernel = ops.cast(self._upward[i], coarse.dtype)
            up = ops.conv(coarse, kernel, padding="same")
            up = resize_aligned(up, fine.shape[1])
            mixed[i] = (fine + up) * 2**-0.5
        return mixed


def _random_kernel(rng, size: int, inputs: int, outputs: int) -> np.ndarray:
    """Normal with variance 1 / fan-in, which preserves the input's scale."""
    deviation = (size * size * inputs) ** -0.5
    kernel = rng.normal(0.0, deviation, (size, size, inputs, outputs))
    return kernel.astype("float32")


class Head(keras.layers.Layer):
    """Trained convolutions on one projected map, and their logits.

    Spectrally normalized 4x4 convolutions halve the map to a side of 3 to 5; a
    map with a side below 6 has one 3x3 convolution instead.

    Args:
      width: half of the first convolution's channels; they double with every
        further one.
      channels: largest number of channels.
      sentence_size: D, size of the sentence features.
      unconditional: whether there are logits of the map alone.
    """

    def __init__(
        self,
        width: int,
        channels: int,
        sentence_size: int,
        unconditional: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.width = width
        self.channels = channels
        self.sentence_size = sentence_size
        self.unconditional = unconditional

    def build(self, input_shape):
        B, side, _, inputs = input_shape
        dtype = self.dtype_policy
        self.convolutions, C = [], self.width
        while side >= SMALLEST_HALVED or not self.convolutions:
            size, stride = (4, 2) if side >= SMALLEST_HALVED else (3, 1)
            C = min(2 * C, self.channels)
            conv = SpectralConvolution(C, size, stride, dtype=dtype)
            conv.build((B, side, side, inputs))
            side, inputs = -(-side // stride), C
            # TensorFlow's checkpoints find attributes, not layers in lists.
            setattr(self, f"convolution_{len(self.convolutions)}", conv)
            self.convolutions.append(conv)
        self.joint = SpectralConvolution(self.channels, 3, dtype=dtype)
        self.joint.build((B, side, side, C))
        self.sentence = keras.layers.Dense(
            self.channels, use_bias=False, dtype=dtype
        )
        self.sentence.build((B, self.sentence_size))
        self.conditional_logit = keras.layers.Dense(1, dtype="float32")
        self.conditional_logit.build((B, side * side * self.channels))
        if self.unconditional:
            self.unconditional_logit = keras.layers.Dense(1, dtype="float32")
            self.unconditional_logit.build((B, side * side * C))

    def features(self, x, training=False):
        """Two maps [B, s, s, C], with s from 2 to 5.

        The first is for the unconditional logits. The second is for the
        conditional ones, which add the projected sentence to it.

        Args:
          x: a projected map [B, h, w, c].
          training: whether the kernels' norms are updated.
        """
        for convolution in self.convolutions:
            x = _leaky_relu(convolution(x, training=training))
        return x, self.joint(x, training=training)

    def conditional(self, features, sentence_features):
        """Logits float32 [B] of `features` with sentences [B, D].

        As in the paper's discriminators, the sentence is tiled over all
        positions, so that its projection is the same at each.
        """
        _, joined = features
        sentence = self.sentence(ops.cast(sentence_features, joined.dtype))
        joined = _leaky_relu(joined + sentence[:, None, None, :])
        return _logit(self.conditional_logit, joined)

    def unconditional_logits(self, features):
        """Logits float32 [B] of `features` alone."""
        return _logit(self.unconditional_logit, features[0])


def _leaky_relu(x):
    """LeakyReLU as a maximum.

    TensorFlow 2.21 tries to fuse its own LeakyReLU with the sum before it,
    although the gradient needs that sum. The fusion fails ("remapper failed"),
    and then the rest of the graph is not optimized either.
    """
    return ops.maximum(x, LEAK * x)


def _logit(dense, features):
    """Features [B, ...] -> logits [B]."""
    side_h, side_w, C = features.shape[1:]
    flat = ops.reshape(features, [-1, side_h * side_w * C])
    return dense(flat)[:, 0]


class ProjectedDiscriminator(keras.Model):
    """A discriminator that reads the maps of a fixed network.

    It has the methods of `Discriminator`, but its input is the output of
    `project` instead of images. Its features are a list with a pair for each
    map, and its logits are those of all maps, one map after another. The first
    map is the image itself, since the other maps hardly show lines and edges of
    single pixels.

    Args:
      image_size: side of the images.
      map_shapes: height, width and channels of each map, from fine to coarse.
      df: channels of the finest projected map. The head on the image begins
        with 2 df channels, and all heads end with 4 df.
      sentence_size: D, size of the sentence features.
      unconditional: whether there are logits of images alone.
      seed: seed of the fixed projections.
    """

    reads = "maps"

    def __init__(
        self,
        *,
        image_size: int,
        map_shapes: Sequence[tuple[int, int, int]],
        df: int = 64,
        sentence_size: int = 256,
        unconditional: bool = True,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.unconditional = unconditional
        dtype = self.dtype_policy
        self.projection = RandomProjection(map_shapes, df, seed, dtype=dtype)
        channels = self.projection.channels
        shapes = [(image_size, image_size, 3)]
        shapes += [
            (h, w, C) for (h, w, _), C in zip(map_shapes, channels, strict=True)
        ]
        self._shapes = shapes
        self.heads = [
            Head(width, 4 * df, sentence_size, unconditional, dtype=dtype)
            for width in (df, *channels)
        ]
        # TensorFlow's checkpoints find attributes, not layers in lists.
        for i, head in enumerate(self.heads):
            setattr(self, f"head_{i}", head)

    def build(self, input_shape=None):
        for head, shape in zip(self.heads, self._shapes, strict=True):
            head.build((None, *shape))

    def project(self, images, maps):
        """The part without weights: images and their maps -> the heads' maps.

        Args:
          images: float32 [B, image_size, image_size, 3] in [-1, 1].
          maps: the fixed network's maps, with the shapes `map_shapes`.
        """
        projected = self.projection(maps)
        return [ops.cast(images, projected[0].dtype), *projected]

    def features(self, projected, training=False):
        """The output of `project` -> a list with a pair of maps per head."""
        return [
            head.features(x, training=training)
            for head, x in zip(self.heads, projected, strict=True)
        ]

    def features_of_batches(self, batches, training=False):
        """Features of each of several batches, in one pass."""
        joined = [ops.concatenate(maps) for maps in zip(*batches, strict=True)]
        features = self.features(joined, training=training)
        parts = keras.tree.map_structure(
            lambda x: ops.split(x, len(batches)), features
        )
        return [
            keras.tree.map_structure_up_to(features, lambda x, i=i: x[i], parts)
            for i in range(len(batches))
        ]

    def conditional(self, features, sentence_features, training=False):
        """Logits float32 [maps * B]: do the images match the sentences?"""
        del training  # there is no normalization
        return ops.concatenate(
            [
                head.conditional(x, sentence_features)
                for head, x in zip(self.heads, features, strict=True)
            ]
        )

    def unconditional_logits(self, features):
        """Logits float32 [maps * B]: are the images real? None without them."""
        if not self.unconditional:
            return None
        return ops.concatenate(
            [
                head.unconditional_logits(x)
                for head, x in zip(self.heads, features, strict=True)
            ]
        )
