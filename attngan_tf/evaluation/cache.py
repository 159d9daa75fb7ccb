"""Caches arrays that take long to compute, with the prepared data."""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from attngan_tf.io import scratch

FOLDER = "reference_features"
UNFINISHED = ".writing-"  # prefix of folders of unfinished files


def cached(
    folder: str,
    state,
    names: Sequence[str],
    compute: Callable[[], Mapping[str, np.ndarray]],
) -> Mapping[str, np.ndarray]:
    """The arrays that a function computes, read from the cache if possible.

    Args:
      folder: the prepared data's. If it cannot be written, nothing is cached.
      state: everything that the arrays depend on, identified by its `repr`.
      names: names of the arrays.
      compute: returns the arrays by name.

    Returns:
      The arrays by name; memory maps if they are cached.
    """
    folder = os.path.join(folder, FOLDER)
    key = hashlib.sha256(repr(state).encode()).hexdigest()
    paths = {name: os.path.join(folder, f"{key}_{name}.npy") for name in names}
    if not all(map(os.path.exists, paths.values())):
        arrays = compute()
        try:
            with scratch.folder(folder, UNFINISHED) as unfinished:
                for name, path in paths.items():
                    new = os.path.join(unfinished, f"{name}.npy")
                    np.save(new, arrays[name])
                    os.replace(new, path)
        except OSError as error:
            print(
                "features and classifiers of scores are not cached with the "
                f"prepared data: {error}",
                file=sys.stderr,
            )
            return arrays
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}
