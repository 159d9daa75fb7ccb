"""The image encoder of the DAMSM (paper, 3.2, Eq. 6)."""

import keras
from keras import ops

from attngan_tf.models.layers.batch_norm import BatchNorm
from attngan_tf.models.layers.resizing import resize_aligned


def small_backbone(size: int, dtype) -> keras.Model:
    """A small backbone for the demo, trained with the text encoder.

    Returns:
      A model [B, size, size, 3] in [-1, 1] -> {regions [B, size/8, size/8,
      128], pooled [B, 256], maps}. `maps` are the two that discriminators
      may read: [B, size/2, size/2, 32] and [B, size/4, size/4, 64]. If they
      also read the later ones, generators learn colours before shapes.
    """
    images = keras.Input((size, size, 3))
    x = images
    maps = []
    for channels in (32, 64, 128, 256):
        x = keras.layers.Conv2D(
            channels, 4, 2, "same", use_bias=False, dtype=dtype
        )(x)
        x = BatchNorm(dtype=dtype)(x)
        x = keras.layers.LeakyReLU(0.2, dtype=dtype)(x)
        maps.append(x)
    pooled = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    return keras.Model(
        images,
        {"regions": maps[2], "pooled": pooled, "maps": maps[:2]},
        name="small_cnn",
    )


def _uniform() -> keras.initializers.Initializer:
    return keras.initializers.RandomUniform(-0.1, 0.1)


class ImageEncoder(keras.Model):
    """Images -> features of regions and of the image, in the words' space.

    Args:
      backbone: the network that returns regions and pooled features.
      size: side of the backbone's input; images of other sizes are resized.
      feature_size: D, size of the features.
      resize: "half_pixel", or "aligned_corners" (released code; not
        antialiased where images become smaller).
    """

    def __init__(
        self,
        *,
        backbone: keras.Model,
        size: int,
        feature_size: int,
        resize: str = "half_pixel",
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.trunk = backbone  # name in checkpoints
        self.size = size
        self.feature_size = feature_size
        self.resize = resize
        # Released code: both kernels are from U(-0.1, 0.1). Each has its own
        # initializer, since one would give the same numbers twice. float32,
        # since these features go into the DAMSM's softmaxes.
        self.region_projection = keras.layers.Dense(
            feature_size,
            use_bias=False,
            kernel_initializer=_uniform(),
            dtype="float32",
        )
        self.image_projection = keras.layers.Dense(
            feature_size, kernel_initializer=_uniform(), dtype="float32"
        )

    @property
    def backbone(self) -> keras.Model:
        """The network that returns regions and pooled features."""
        return self.trunk

    def build(self, input_shape=None):
        regions, pooled = (
            self.backbone.output[name].shape for name in ("regions", "pooled")
        )
        self.region_projection.build((None, None, regions[-1]))
        self.image_projection.build((None, pooled[-1]))

    @property
    def map_shapes(self) -> list[tuple[int, int, int]]:
        """Height, width and channels of each of the backbone's `maps`."""
        return [x.shape[1:] for x in self.backbone.output["maps"]]

    def features_and_maps(self, images, training=False):
        """Outputs of the backbone for images of any size.

        Args:
          images: float32 [B, H, W, 3] in [-1, 1].
          training: whether the BN of a trainable backbone uses the batch's
            statistics.

        Returns:
          The dict of `backbone_features`, and the list of the backbone's
          maps, whose shapes are `map_shapes`.
        """
        if images.shape[1:3] != (self.size, self.size):
            images = self._resized(images)
        features = self.backbone(images, training=training)
        _, h, w, C = features["regions"].shape
        regions = ops.reshape(features["regions"], [-1, h * w, C])
        both = {"regions": regions, "pooled": features["pooled"]}
        return both, features.get("maps", [])

    def backbone_features(self, images, training=False):
        """The backbone's features of images of any size.

        Args:
          images: float32 [B, H, W, 3] in [-1, 1].
          training: see `features_and_maps`.

        Returns:
          A dict: regions [B, N, channels], pooled [B, channels].
        """
        features, _ = self.features_and_maps(images, training)
        return features

    def _resized(self, images):
        """[B, H, W, 3] -> [B, size, size, 3], bilinear."""
        if self.resize == "aligned_corners":
            return resize_aligned(images, self.size)
        return ops.image.resize(
            images,
            (self.size, self.size),
            interpolation="bilinear",
            antialias=images.shape[1] > self.size,
        )

    def project(self, features):
        """Projects features into the words' space (Eq. 6).

        Args:
          features: the dict of `backbone_features`.

        Returns:
          A dict of float32: region_features [B, N, D], image_features [B, D].
        """
        return {
            "region_features": self.region_projection(features["regions"]),
            "image_features": self.image_projection(features["pooled"]),
        }

    def call(self, images, training=False):
        """`project(backbone_features(images))`."""
        return self.project(self.backbone_features(images, training=training))
