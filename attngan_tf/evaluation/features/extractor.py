"""Feature extractors: networks whose features metrics compare."""

import hashlib
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from attngan_tf.errors import UserError

SIZE = 299  # side of Inception-v3's images, and the default
IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
OUTPUTS = ("pooled", "probabilities")
# Largest accepted difference between 1 and the sum of an image's probabilities.
# Rounding gives 1e-6 in float32, and up to 2^-9 in bfloat16.
SUM_TOLERANCE = 0.01

Network = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


class FeatureExtractor:
    """A network that extracts features of images.

    The constructor tests it with two images of noise.

    Args:
      name: name of the network, for error messages.
      sha256: `digest` of its weights.
      size: side of the images that the network takes.
      network: float32 [B, H, W, 3] in [-1, 1], of any size -> a dict with
        pooled [B, C], probabilities [B, K], or both.
      provenance: identifies the network, as JSON values; None: its name.

    Raises:
      UserError: the network fails, or returns something else.
    """

    def __init__(
        self,
        *,
        name: str,
        sha256: str,
        size: int,
        network: Network,
        provenance: Mapping | None = None,
    ):
        self.name = name
        self.provenance = {**(provenance or {"name": name}), "sha256": sha256}
        self.size = size
        self._network = network
        found = self._trial()
        for key, value in found.items():
            _check_output(name, key, value)
        self.outputs = tuple(found)
        widths = {key: value.shape[1] for key, value in found.items()}
        self.pooled_size = widths.get("pooled")  # C; None without
        self.classes = widths.get("probabilities")  # K; None without

    def _trial(self) -> dict[str, np.ndarray]:
        shape = [2, self.size, self.size, 3]
        noise = tf.random.stateless_uniform(shape, [0, 0], -1.0, 1.0)
        try:
            found = self.features(noise)
        except Exception as error:  # a user's graph can raise anything
            raise UserError(
                f"{self.name} must take any number of float32 images, "
                f"[B, {self.size}, {self.size}, 3]; with two of them it fails: "
                f"{one_line(error)}"
            ) from error
        return {key: value.numpy() for key, value in found.items()}

    @tf.function(input_signature=[IMAGES], autograph=False)
    def features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Features of images; traced once for all sizes.

        Args:
          images: float32 [B, H, W, 3] in [-1, 1]. They are not rounded here;
            published scores are of images that were stored as uint8.

        Returns:
          A dict of float32: pooled [B, C] unless `pooled_size` is None, and
          probabilities [B, K] unless `classes` is None.
        """
        found = self._network(images)
        return {
            key: tf.cast(found[key], tf.float32)
            for key in OUTPUTS
            if key in found
        }


def _check_output(name: str, key: str, value: np.ndarray) -> None:
    finite = np.isfinite(value).all()
    if value.ndim != 2 or len(value) != 2 or not finite:
        raise UserError(
            f"{name} must return {key} as finite numbers [B, C]; for two "
            f"images it returns {list(value.shape)}, "
            f"{'finite' if finite else 'not finite'}"
        )
    if key == "probabilities":
        sums = value.sum(axis=1)
        worst = sums[np.abs(sums - 1.0).argmax()]
        if value.min() < 0 or abs(worst - 1.0) > SUM_TOLERANCE:
            raise UserError(
                f"{name} must return class probabilities, which are 0 or more "
                f"and sum to 1; those of an image sum to {worst:.4g}, the "
                f"smallest is {value.min():.4g}; if they are logits, add a "
                "softmax to the network"
            )


def resized(images: tf.Tensor, size: int) -> tf.Tensor:
    """[B, H, W, 3] -> [B, size, size, 3], bilinear with half-pixel centres.

    Images that become smaller are antialiased.
    """
    return tf.image.resize(images, [size, size], "bilinear", antialias=True)


def digest(path: str) -> str:
    """The SHA-256 of the content of a file or folder, in hex.

    That of a folder is the digest of the sorted names of all files in it, each
    with the SHA-256 of its content. It does not depend on the folder's path.

    Raises:
      OSError: there is no such path, or it cannot be read.
    """
    root, total = pathlib.Path(path), hashlib.sha256()
    if not root.is_dir():
        return hashlib.sha256(root.read_bytes()).hexdigest()
    files = [file for file in root.rglob("*") if file.is_file()]
    names = {file.relative_to(root).as_posix(): file for file in files}
    for name in sorted(names):
        content = hashlib.sha256(names[name].read_bytes()).digest()
        total.update(name.encode() + b"\0" + content)
    return total.hexdigest()


def one_line(error: Exception) -> str:
    """An error's text on one line; only its start if it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."
