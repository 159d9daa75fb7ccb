"""Features of real images, and their cache."""

import copy
import os

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.data.views import centre_views
from attngan_tf.evaluation.cache import FOLDER, cached
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.evaluation.reference import real_features

SIZE = 8


class Colours(FeatureExtractor):
    """Extracts the mean colour of images; counts the images it processes."""

    def __init__(self, sha256="abc", name="colours"):
        def count(images):
            self.processed += len(images)
            return images

        def network(images):
            images = tf.numpy_function(count, [images], tf.float32)
            images.set_shape([None, None, None, 3])
            return {"pooled": tf.reduce_mean(images, [1, 2])}

        self.processed = 0
        super().__init__(name=name, sha256=sha256, size=SIZE, network=network)
        self.processed = 0


def features(extractor, data, folder, split="test", count=100, size=SIZE):
    held_out = HeldOut(
        records=getattr(data, split),
        vocabulary=data.vocabulary,
        words_num=5,
        count=count,
    )
    strategy = tf.distribute.get_strategy()
    folder = None if folder is None else str(folder)
    found = real_features(extractor, held_out, size, folder, strategy)
    return held_out, found["pooled"]


def test_features_of_images_in_order_are_computed_once(tiny_data, tmp_path):
    extractor = Colours()
    held_out, first = features(extractor, tiny_data, tmp_path)
    batches = centre_views(tiny_data.test, (SIZE,), 50, held_out.indices)
    images = np.concatenate([batch[f"images_{SIZE}"] for batch in batches])
    stored = np.clip((images + 1) * 127.5, 0, 255).round() / 127.5 - 1
    np.testing.assert_allclose(first, stored.mean((1, 2)), atol=1e-5)
    _, again = features(extractor, tiny_data, tmp_path)
    np.testing.assert_array_equal(again, first)
    assert extractor.processed == 100
    _, direct = features(extractor, tiny_data, None)  # not cached
    np.testing.assert_array_equal(direct, first)
    assert extractor.processed == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "train"},
        {"count": 99},
        {"size": 2 * SIZE},
        {"sha256": "other"},
        {"name": "colours, at size 75"},
        {"digest": "of changed images"},
    ],
    ids=str,
)
def test_other_images_or_extractors_have_other_features(
    tiny_data, tmp_path, changes
):
    features(Colours(), tiny_data, tmp_path)
    network = {k: changes.pop(k) for k in ("sha256", "name") if k in changes}
    extractor = Colours(**network)
    if "digest" in changes:
        test = copy.copy(tiny_data.test)
        test.digest = lambda indices: "of changed images"
        tiny_data, changes = tiny_data._replace(test=test), {}
    features(extractor, tiny_data, tmp_path, **changes)
    assert extractor.processed > 0


def numbers():
    return {"a": np.arange(5)}


def test_unfinished_files_are_never_read(tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", lambda *paths: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cached(str(tmp_path), 1, ["a"], numbers)
    assert os.listdir(tmp_path / FOLDER) == []
    left = tmp_path / FOLDER / ".writing-left"  # by a killed process
    left.mkdir()
    (left / "a.npy").write_bytes(b"half")
    found = cached(str(tmp_path), 1, ["a"], numbers)
    np.testing.assert_array_equal(found["a"], np.arange(5))
    (file,) = os.listdir(tmp_path / FOLDER)
    assert file.endswith("_a.npy")


def test_without_write_access_nothing_is_cached(tmp_path, capsys):
    (tmp_path / FOLDER).write_text("a file instead of the folder")
    found = cached(str(tmp_path), 1, ["a"], numbers)
    np.testing.assert_array_equal(found["a"], np.arange(5))
    assert "are not cached" in capsys.readouterr().err
