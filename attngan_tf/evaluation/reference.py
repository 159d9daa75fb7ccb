"""Features of real images, computed once and cached on disk."""

import atexit
import functools
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from attngan_tf.data.views import changes_as_user_errors
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.generated import per_replica
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.io import scratch
from attngan_tf.io.disk import new_array, writing

FOLDER = "reference_features"
SCRATCH = ".writing-"  # prefix of folders of unfinished files


def real_features(
    extractor: FeatureExtractor,
    held_out: HeldOut,
    size: int,
    folder: str | None,
    strategy: tf.distribute.Strategy,
) -> dict[str, np.ndarray]:
    """Features of held-out images that are reduced to a size.

    They are cached in `folder` under the hash of all that they depend on: the
    extractor, the images' records, and the size.

    Args:
      extractor: extracts the features.
      held_out: the images.
      size: side of the generated images they are compared with.
      folder: of the prepared data; where it cannot be written, features are
        cached for this process only. None: they are not cached.
      strategy: its replicas share each batch.

    Returns:
      pooled float32 [N, C] and probabilities float32 [N, K], as far as the
      extractor returns them; memory maps if they are cached.
    """
    batches = _extract(extractor, held_out.images(size), strategy)
    if folder is None:
        found = list(batches)
        return {k: np.concatenate([x[k] for x in found]) for k in found[0]}
    widths = {
        "pooled": extractor.pooled_size,
        "probabilities": extractor.classes,
    }
    widths = {name: width for name, width in widths.items() if width}
    records = held_out.records.digest(held_out.indices)
    state = extractor.provenance, extractor.size, size, records
    key = hashlib.sha256(repr(state).encode()).hexdigest()
    home = writable(os.path.join(folder, FOLDER))
    paths = {k: os.path.join(home, f"{key}_{k}.npy") for k in widths}
    if not all(map(os.path.exists, paths.values())):
        with writing("features of real images", home), changes_as_user_errors():
            _write(batches, home, paths, widths, len(held_out.indices))
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}


def _extract(
    extractor: FeatureExtractor,
    batches: tf.data.Dataset,
    strategy: tf.distribute.Strategy,
) -> Iterator[dict[str, np.ndarray]]:
    """The features of batches of images."""
    extract = tf.function(
        lambda rows: extractor.features(rows["images"]),
        reduce_retracing=True,
        autograph=False,
    )
    for images in batches:
        yield per_replica(strategy, extract, {"images": images})


def _write(batches, home, paths, widths, count: int) -> None:
    """Writes the files, each atomically: others may be writing the same."""
    with scratch.folder(home, SCRATCH) as folder:
        new = {name: os.path.join(folder, f"{name}.npy") for name in widths}
        arrays = {
            name: new_array(new[name], np.float32, (count, width))
            for name, width in widths.items()
        }
        first = 0
        for batch in batches:
            for name, array in arrays.items():
                array[first : first + len(batch[name])] = batch[name]
            first += len(batch[name])
        for name, array in arrays.items():
            array.flush()
            os.replace(new[name], paths[name])


@functools.cache
def writable(folder: str) -> str:
    """The folder, or a temporary one if it cannot be written."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        print(
            "features and classifiers of scores are not cached beside the "
            f"prepared data: {error}",
            file=sys.stderr,
        )
    home = tempfile.mkdtemp(prefix="attngan_tf_")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home
