"""The attentional generative network (paper, 3.1, Eq. 1)."""

import keras
from keras import ops

from attngan_tf.models import attention as attention_lib
from attngan_tf.models.layers import blocks
from attngan_tf.models.layers.batch_norm import GatedBatchNorm
from attngan_tf.models.layers.convolutions import ImageConvolution
from attngan_tf.models.layers.glu import GLU, HalvedGLU


class ConditioningAugmentation(keras.Layer):
    """F^ca: sentence features [B, D] -> mu and logvar [B, condition_size]."""

    def __init__(self, condition_size: int, **kwargs):
        super().__init__(**kwargs)
        self.condition_size = condition_size

    def build(self, input_shape):
        self.dense = keras.layers.Dense(
            4 * self.condition_size,
            kernel_initializer=keras.initializers.Orthogonal(),
            dtype=self.dtype_policy,
        )
        self.dense.build(input_shape)
        self.glu = GLU(dtype=self.dtype_policy)

    def call(self, sentence_features):
        both = ops.cast(self.glu(self.dense(sentence_features)), "float32")
        mu, logvar = ops.split(both, 2, axis=-1)
        return mu, logvar


def sample_condition(mu, logvar, eps):
    """Samples N(mu, exp(logvar)) with standard normal eps, all [B, C].

    The deviation is computed in float64. In float32, a CPU rounds the last
    numbers of a batch, which do not fill a vector, differently from the others,
    so that a row would depend on the size of the batch.
    """
    deviation = ops.exp(0.5 * ops.cast(logvar, "float64"))
    return mu + ops.cast(deviation, "float32") * eps


class FirstStage(keras.Layer):
    """F0: condition and noise -> h0 [B, base_size, base_size, GF]."""

    def __init__(self, base_size: int, gf: int, fused: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.base_size = base_size
        self.gf = gf
        self.fused = fused

    def build(self, input_shape):
        dtype = self.dtype_policy
        ups = (self.base_size // 4).bit_length() - 1
        channels = self.gf * 2**ups
        self.body = keras.Sequential(
            [
                keras.layers.Dense(
                    16 * 2 * channels,
                    use_bias=self.fused,
                    kernel_initializer=keras.initializers.Orthogonal(),
                    dtype=dtype,
                ),
                (HalvedGLU if self.fused else GatedBatchNorm)(dtype=dtype),
                keras.layers.Reshape([4, 4, channels], dtype=dtype),
                *(
                    blocks.UpBlock(
                        channels // 2 ** (i + 1), self.fused, dtype=dtype
                    )
                    for i in range(ups)
                ),
            ],
            name="body",
        )
        self.body.build(input_shape)

    def call(self, condition_and_z, training=False):
        return self.body(condition_and_z, training=training)


class NextStage(keras.Layer):
    """F_i: h and its context [B, H, W, GF] -> the next h [B, 2H, 2W, GF]."""

    def __init__(
        self, gf: int, residual_blocks: int, fused: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        self.gf = gf
        self.residual_blocks = residual_blocks
        self.fused = fused

    def build(self, input_shape):
        dtype = self.dtype_policy
        self.body = keras.Sequential(
            [
                *(
                    blocks.ResidualBlock(self.fused, dtype=dtype)
                    for _ in range(self.residual_blocks)
                ),
                blocks.UpBlock(self.gf, self.fused, dtype=dtype),
            ],
            name="body",
        )
        self.body.build((*input_shape[:-1], 2 * self.gf))

    def call(self, h, context, training=False):
        joined = ops.concatenate([h, ops.cast(context, h.dtype)], axis=-1)
        return self.body(joined, training=training)


class Generator(keras.Model):
    """Generates an image in each stage, from text features and noise.

    Args:
      base_size: side of the first image, 4 times a power of two.
      num_stages: m; the last image's side is base_size * 2^(m-1).
      gf: channels of the maps (GF).
      condition_size: size of the condition.
      z_size: Z, size of the noise z.
      word_size: D, size of word and sentence features.
      residual_blocks: residual blocks in each stage after the first.
      attention: "words", or "none": later stages read the condition at each
        position instead of a word context, as in StackGAN-v2.
      last_head_only: whether only the last stage generates an image (as in
        AttnDCGAN).
      fused: whether BN is fused into the convolutions before it, for inference
        (`fuse_batch_norm`).
    """

    def __init__(
        self,
        *,
        base_size: int = 64,
        num_stages: int = 3,
        gf: int = 32,
        condition_size: int = 100,
        z_size: int = 100,
        word_size: int = 256,
        residual_blocks: int = 2,
        attention: str = "words",
        last_head_only: bool = False,
        fused: bool = False,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.base_size = base_size
        self.num_stages = num_stages
        self.gf = gf
        self.condition_size = condition_size
        self.z_size = z_size
        self.word_size = word_size
        self.residual_blocks = residual_blocks
        self.attention = attention
        self.last_head_only = last_head_only
        self.fused = fused
        dtype = self.dtype_policy
        self.augmentation = ConditioningAugmentation(
            condition_size, dtype=dtype
        )
        self.first = FirstStage(base_size, gf, fused, dtype=dtype)
        self._make_stages()

    def _make_stages(self) -> None:
        """Makes the contexts and stages after the first, and the heads."""
        later, dtype = range(1, self.num_stages), self.dtype_policy
        self.contexts = [self._context() for _ in later]
        self.stages = [
            NextStage(self.gf, self.residual_blocks, self.fused, dtype=dtype)
            for _ in later
        ]
        self.heads = {
            f"images_{size}": ImageConvolution(dtype=dtype)
            for size in self.image_sizes
        }
        # Keras finds layers in lists and dicts; TensorFlow's checkpoints find
        # only attributes.
        for i, context in enumerate(self.contexts):
            setattr(self, f"context_{i}", context)
        for i, stage in enumerate(self.stages):
            setattr(self, f"stage_{i}", stage)
        for name, head in self.heads.items():
            setattr(self, f"head_{name}", head)

    @property
    def image_sizes(self) -> list[int]:
        """Sides of the generated images, in pixels."""
        sizes = [self.base_size * 2**i for i in range(self.num_stages)]
        return sizes[-1:] if self.last_head_only else sizes

    @property
    def attends(self) -> bool:
        """Whether a stage attends to words."""
        return self.attention == "words" and self.num_stages > 1

    def _context(self) -> keras.Layer:
        if self.attention == "words":
            return attention_lib.WordAttention(self.gf, dtype=self.dtype_policy)
        return ConditionContext(self.gf, self.fused, dtype=self.dtype_policy)

    def build(self, input_shape=None):
        S, gf = self.base_size, self.gf
        self.augmentation.build((None, self.word_size))
        self.first.build((None, self.condition_size + self.z_size))
        words = (None, None, self.word_size)
        for i, (context, stage) in enumerate(
            zip(self.contexts, self.stages, strict=True)
        ):
            H = S * 2**i
            if self.attention == "words":
                context.build((None, H, H, gf), words)
            else:
                context.build((None, H, H, gf + self.condition_size))
            stage.build((None, H, H, gf))
        for head in self.heads.values():
            head.build((None, None, None, gf))

    def call(self, inputs, training=False):
        """Generates the images of all stages (Eq. 1).

        Args:
          inputs: a dict of word_features [B, T, D], sentence_features [B, D],
            lengths int32 [B], z [B, Z], and eps [B, condition_size]: the
            noise of the conditioning augmentation (zero gives its mean).
            To interpolate between two captions, also last_word_features
            [B, T', D], last_lengths [B] and alpha [] in [0, 1]. The contexts
            are then (1 - alpha) times the first caption's plus alpha times the
            last one's, and attention_S is over the words of both.
          training: whether BN uses the batch's statistics.

        Returns:
          A dict of float32: images_S [B, S, S, 3] in [-1, 1] for each side S;
          attention_S [B, T, S/2, S/2] (beta) for each later stage;
          mu and logvar [B, condition_size].
        """
        mu, logvar = self.augmentation(inputs["sentence_features"])
        condition = sample_condition(mu, logvar, inputs["eps"])
        outputs = {"mu": mu, "logvar": logvar}
        h = self.first(
            ops.concatenate([condition, inputs["z"]], axis=-1),
            training=training,
        )
        self._add_image(h, outputs)
        for context, stage in zip(self.contexts, self.stages, strict=True):
            if self.attention == "words":
                c, weights = _attend(context, h, inputs)
                outputs[f"attention_{2 * h.shape[1]}"] = ops.transpose(
                    weights, [0, 3, 1, 2]
                )
            else:
                c = context(h, condition, training=training)
            h = stage(h, c, training=training)
            self._add_image(h, outputs)
        return outputs

    def _add_image(self, h, outputs):
        """Adds the image of G_i, if the stage has a head."""
        name = f"images_{h.shape[1]}"
        if name in self.heads:
            outputs[name] = self.heads[name](h)


def _attend(attention, h, inputs):
    """Word contexts and weights, or those interpolated between captions."""
    c, weights = attention(h, inputs["word_features"], inputs["lengths"])
    if "alpha" not in inputs:
        return c, weights
    alpha = inputs["alpha"]
    last_c, last_weights = attention(
        h, inputs["last_word_features"], inputs["last_lengths"]
    )
    weights = [(1 - alpha) * weights, alpha * last_weights]
    alpha = ops.cast(alpha, c.dtype)
    return (1 - alpha) * c + alpha * last_c, ops.concatenate(weights, axis=-1)


class ConditionContext(keras.Layer):
    """StackGAN-v2's joint block: h and condition [B, C] -> [B, H, W, GF]."""

    def __init__(self, gf: int, fused: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.gf = gf
        self.fused = fused

    def build(self, input_shape):
        self.body = keras.Sequential(
            blocks.glu_block(self.gf, self.fused, dtype=self.dtype_policy),
            name="body",
        )
        self.body.build(input_shape)

    def call(self, h, condition, training=False):
        tiled = blocks.tile_vector(ops.cast(condition, h.dtype), h)
        return self.body(
            ops.concatenate([h, tiled], axis=-1), training=training
        )
