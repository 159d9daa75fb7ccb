"""Features of a fixed backbone, which are computed once and cached on disk."""

import contextlib
import json
import os

import numpy as np
import tensorflow as tf
import tqdm

from attngan_tf.data import views
from attngan_tf.data.views import PIXELS, Records
from attngan_tf.io.disk import new_array, writing
from attngan_tf.io.files import replacing
from attngan_tf.models.image_encoder import ImageEncoder

BATCH = 32
NAMES = ("regions", "pooled")


class FeatureCache:
    """Regions and pooled features of V views of each training image.

    Args:
      folder: folder of the arrays, which are float16 .npy files.
      image_encoder: the encoder with the fixed backbone.
      records: the training images.
      identity: what the features depend on; a cache with another identity is
        replaced.
      views: V.
      seed: seed of the views.
    """

    def __init__(
        self,
        *,
        folder: str,
        image_encoder: ImageEncoder,
        records: Records,
        identity: dict,
        views: int,
        seed: int,
    ):
        self.folder = folder
        self.image_encoder = image_encoder
        self.records = records
        self.views = views
        self.seed = seed
        self._identity = {**identity, "pixels": PIXELS}
        self._state_file = os.path.join(folder, "state.json")
        self._arrays = self._open()

    @property
    def bytes(self) -> int:
        """Size of the arrays on disk."""
        return sum(array.nbytes for array in self._arrays.values())

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, f"{name}.npy")

    def _open(self) -> dict[str, np.ndarray]:
        rows = len(self.records) * self.views
        outputs = self.image_encoder.backbone.output
        _, h, w, C = outputs["regions"].shape
        shapes = {
            "regions": (rows, h * w, C),
            "pooled": (rows, *outputs["pooled"].shape[1:]),
        }
        with (
            writing("features of the training images", self.folder),
            views.changes_as_user_errors(),
        ):
            os.makedirs(self.folder, exist_ok=True)
            done, arrays = self._found(shapes)
            if not arrays:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(self._state_file)  # it describes the old arrays
                arrays = {
                    name: new_array(self._path(name), np.float16, shape)
                    for name, shape in shapes.items()
                }
            if done < rows:
                self._fill(arrays, done)
        return arrays

    def _found(self, shapes: dict) -> tuple[int, dict[str, np.ndarray]]:
        """Number of computed rows, and the arrays; 0 and {} unless they fit."""
        try:
            with open(self._state_file, encoding="utf-8") as file:
                state = json.load(file)
            if state["identity"] == self._identity and state["rows_done"]:
                # "r+" would extend a truncated file with zeros.
                found = {k: np.load(self._path(k), "r") for k in shapes}
                if {k: array.shape for k, array in found.items()} == shapes:
                    arrays = {k: np.load(self._path(k), "r+") for k in shapes}
                    return state["rows_done"], arrays
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing or truncated: everything is computed again
        return 0, {}

    def _fill(self, arrays: dict, done: int) -> None:
        """Computes the missing rows; continues after an interruption."""
        compute = tf.function(
            self.image_encoder.backbone_features, autograph=False
        )
        first = done // BATCH
        batches = views.cached_views(
            self.records,
            self.image_encoder.size,
            self.views,
            self.seed,
            BATCH,
            first,
        )
        rows = len(arrays["pooled"])
        bar = tqdm.tqdm(
            batches,
            total=-(-rows // BATCH),
            initial=first,
            desc=f"features of {rows} views",
            unit="batch",
            mininterval=10,
        )
        for number, batch in enumerate(bar, first):
            start = number * BATCH
            for name, value in compute(batch).items():
                arrays[name][start : start + len(batch)] = value.numpy()
            if number % 50 == 49 or start + len(batch) == rows:
                for array in arrays.values():
                    array.flush()
                done = start + len(batch)
                state = {"identity": self._identity, "rows_done": done}
                with replacing(self._state_file) as file:
                    json.dump(state, file)

    def attach(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Replaces index and view in batches by regions and pooled features.

        Both are float32: regions [B, N, C] and pooled [B, C'].
        """

        def read(index, view):
            rows = index * self.views + view
            return tuple(self._arrays[k][rows] for k in NAMES)

        def add(batch):
            rows = [batch.pop("index"), batch.pop("view")]
            found = tf.numpy_function(read, rows, [tf.float16, tf.float16])
            for name, value in zip(NAMES, found, strict=True):
                shape = (batch["lengths"].shape[0], *self._shape(name))
                value = tf.ensure_shape(value, shape)
                batch[name] = tf.cast(value, tf.float32)
            return batch

        return batches.map(add, num_parallel_calls=2).prefetch(2)

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._arrays[name].shape[1:]
