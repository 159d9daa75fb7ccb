"""Feature extractors: networks whose features metrics compare."""

import hashlib
import os
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.evaluation.metrics.inception_score import SUM_TOLERANCE

SIZE = 299  # side of Inception-v3's images, and the default
IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
OUTPUTS = ("pooled", "probabilities")

Network = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


class FeatureExtractor:
    """A network that extracts features of images.

    It is tried on two images of noise when it is made.

    Args:
      name: of the network, for error messages.
      sha256: `digest` of its weights.
      size: side of the images that the network takes.
      network: float32 [B, H, W, 3] in [-1, 1], of any size -> a dict with
        pooled [B, C], probabilities [B, K], or both.
      provenance: what else identifies it, as JSON values; None: its name.

    Raises:
      UserError: the network does not run, or returns something else.
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
        self.pooled_size = _width(found, "pooled")  # C, or None without
        self.classes = _width(found, "probabilities")  # K, or None without

    def _trial(self) -> dict[str, np.ndarray]:
        shape = [2, self.size, self.size, 3]
        noise = tf.random.stateless_uniform(shape, [0, 0], -1.0, 1.0)
        try:
            found = self.features(noise)
        except Exception as error:  # a foreign graph can raise nearly anything
            raise UserError(
                f"{self.name} must take any number of float32 images, "
                f"[B, {self.size}, {self.size}, 3]; on two of them it fails: "
                f"{one_line(error)}"
            ) from error
        return {key: value.numpy() for key, value in found.items()}

    @tf.function(input_signature=[IMAGES], autograph=False)
    def features(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Features of images; traced once for all sizes.

        Args:
          images: float32 [B, H, W, 3] in [-1, 1], not rounded here: published
            scores are of images that were stored as uint8.

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


def _width(found: Mapping[str, np.ndarray], key: str) -> int | None:
    return found[key].shape[1] if key in found else None


def _check_output(name: str, key: str, value: np.ndarray) -> None:
    if value.ndim != 2 or len(value) != 2 or not np.isfinite(value).all():
        kind = "finite" if np.isfinite(value).all() else "not finite"
        raise UserError(
            f"{name} must give {key} as finite numbers [B, C]; of two images "
            f"it gives {list(value.shape)}, {kind}"
        )
    if key == "probabilities":
        sums = value.sum(axis=1)
        worst = sums[np.abs(sums - 1.0).argmax()]
        if value.min() < 0 or abs(worst - 1.0) > SUM_TOLERANCE:
            raise UserError(
                f"{name} must give probabilities of classes, which are 0 or "
                f"more and sum to 1; those of an image sum to {worst:.4g}, "
                f"the least is {value.min():.4g}; if they are logits, end the "
                "network with a softmax"
            )


def resized(images: tf.Tensor, size: int) -> tf.Tensor:
    """[B, H, W, 3] -> [B, size, size, 3], bilinear with half-pixel centres.

    Images that become smaller are antialiased.
    """
    return tf.image.resize(images, [size, size], "bilinear", antialias=True)


def digest(path: str) -> str:
    """The SHA-256 of a file's content, or of a folder's, in hex.

    A folder's is that of the names of all files in it, sorted, each with the
    SHA-256 of its content. It does not depend on where the folder lies.

    Raises:
      OSError: there is no such path, or it cannot be read.
    """
    if not os.path.isdir(path):
        return _file_digest(path).hex()
    found = {}
    for folder, _, files in os.walk(path):
        for file in files:
            full = os.path.join(folder, file)
            name = os.path.relpath(full, path).replace(os.sep, "/")
            found[name] = _file_digest(full)
    total = hashlib.sha256()
    for name in sorted(found):
        total.update(name.encode() + b"\0" + found[name])
    return total.hexdigest()


def _file_digest(path: str) -> bytes:
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            total.update(block)
    return total.digest()


def one_line(error: Exception) -> str:
    """An error's text on one line, its start if it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."
