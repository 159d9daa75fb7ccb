"""Cached features: used if they are complete, or computed again."""

import json

import numpy as np
import pytest

from attngan_tf.models.image_encoder import ImageEncoder, small_backbone
from attngan_tf.training.feature_cache import NAMES, FeatureCache

SIZE = 16


@pytest.fixture(scope="module")
def make(tiny_data):
    """Opens a cache of two views of 24 images."""
    encoder = ImageEncoder(
        backbone=small_backbone(SIZE, "float32"), size=SIZE, feature_size=8
    )

    def make(folder, identity="one"):
        return FeatureCache(
            folder=str(folder),
            image_encoder=encoder,
            records=tiny_data.train,
            identity={"name": identity},
            views=2,
            seed=0,
        )

    return make


def arrays(folder):
    return {name: np.load(folder / f"{name}.npy") for name in NAMES}


@pytest.fixture
def whole(make, tmp_path):
    """A folder with a cache, and its arrays."""
    make(tmp_path)
    found = arrays(tmp_path)
    assert all(np.abs(array).max() > 0 for array in found.values())
    return tmp_path, found


def assert_same(folder, expected):
    for name, array in arrays(folder).items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_complete_cache_is_used_again(make, whole):
    folder, _ = whole
    marked = np.load(folder / "pooled.npy", "r+")
    marked[0] = 7
    marked.flush()
    make(folder)
    assert (np.load(folder / "pooled.npy")[0] == 7).all()


def test_features_of_pixels_decoded_otherwise_are_computed_again(make, whole):
    """The state of older caches does not name the version of the pixels."""
    folder, expected = whole
    path = folder / "state.json"
    state = json.loads(path.read_text())
    del state["identity"]["pixels"]
    path.write_text(json.dumps(state))
    marked = np.load(folder / "pooled.npy", "r+")
    marked[0] = 7
    marked.flush()
    make(folder)
    assert_same(folder, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_computed_again(make, whole, name):
    folder, expected = whole
    path = folder / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-100])
    make(folder)
    assert_same(folder, expected)


def test_a_killed_start_leaves_no_computed_rows(make, whole, monkeypatch):
    """New arrays must not be used with the state of the old ones."""
    folder, expected = whole

    def killed(self, arrays, done):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FeatureCache, "_fill", killed)
        with pytest.raises(KeyboardInterrupt):
            make(folder, "another")
    make(folder)
    assert_same(folder, expected)
    state = json.loads((folder / "state.json").read_text())
    assert state["rows_done"] == 48
