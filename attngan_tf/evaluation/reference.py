"""What a backend says of real pictures, computed once and kept on disk."""

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
from attngan_tf.evaluation.features.extractor import OUTPUTS, Backend
from attngan_tf.evaluation.generated import per_replica
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.io import scratch
from attngan_tf.io.disk import new_array, writing

FOLDER = "reference_features"
SCRATCH = ".writing-"  # begins the names of folders of files on their way


def real_features(
    backend: Backend,
    held_out: HeldOut,
    size: int,
    folder: str,
    strategy: tf.distribute.Strategy,
) -> dict[str, np.ndarray]:
    """A backend's features of held-out pictures, reduced to a size.

    They lie in `folder` under the hash of all that they depend on: the
    backend's weights and its name, which says how it sees pictures, the
    pictures' records, and the size. What lies there under that hash is read.

    Args:
      backend: looks at them.
      held_out: the pictures.
      size: side of the pictures they are compared with.
      folder: of the prepared data; where it cannot be written, nothing is
        kept.
      strategy: its replicas share each batch.

    Returns:
      pooled float32 [N, C] and probabilities float32 [N, K], as far as the
      backend gives them; memory maps.
    """
    widths = {"pooled": backend.pooled_size, "probabilities": backend.classes}
    widths = {name: widths[name] for name in OUTPUTS if widths[name]}
    records = held_out.records.digest(held_out.places)
    state = backend.name, backend.sha256, backend.size, size, records
    key = hashlib.sha256(repr(state).encode()).hexdigest()
    home = writable(os.path.join(folder, FOLDER))
    paths = {k: os.path.join(home, f"{key}_{k}.npy") for k in widths}
    if not all(map(os.path.exists, paths.values())):
        found = _look(backend, held_out.images(size), strategy)
        with (
            writing("features of real pictures", home),
            changes_as_user_errors(),
        ):
            _write(found, home, paths, widths, len(held_out.places))
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}


def _look(
    backend: Backend, batches: tf.data.Dataset, strategy: tf.distribute.Strategy
) -> Iterator[dict[str, np.ndarray]]:
    """The backend's features of batches of pictures."""
    look = tf.function(
        lambda rows: backend.features(rows["images"]),
        reduce_retracing=True,
        autograph=False,
    )
    for images in batches:
        yield per_replica(strategy, look, {"images": images})


def _write(batches, home, paths, widths, count: int) -> None:
    """Fills the files; each appears when all is in it.

    Others may be writing the same ones.
    """
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
    """The folder, or one that ends with the process if it cannot be written."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        print(
            "features and classifiers of scores are not kept beside the "
            f"prepared data: {error}",
            file=sys.stderr,
        )
    home = tempfile.mkdtemp(prefix="attngan_tf_")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home
