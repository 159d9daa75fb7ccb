"""Features of real images, and their cache."""

import copy
import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.data.views import centre_views
from attngan_tf.evaluation.cache import FOLDER, cached
from attngan_tf.evaluation.evaluator import Evaluator
from attngan_tf.evaluation.features.extractor import FeatureExtractor

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


@pytest.fixture
def make(tiny_model, tiny_data, tmp_path):
    """Makes an evaluator that caches features in a new folder."""

    def make(extractor, data=tiny_data, split="test", count=100, size=SIZE):
        found = Evaluator(
            model=tiny_model,
            encoders=tiny_model.encoders,
            extractor=extractor,
            data=data._replace(name=str(tmp_path)),
            split=split,
            metrics=["fid"],
            num_images=count,
        )
        found.size = size
        return found

    return make


def test_features_of_images_in_order_are_computed_once(make, tiny_data):
    extractor = Colours()
    found = make(extractor)
    first = found.real["pooled"]
    batches = centre_views(tiny_data.test, (SIZE,), 50, found.held_out.indices)
    images = np.concatenate([batch[f"images_{SIZE}"] for batch in batches])
    stored = np.clip((images + 1) * 127.5, 0, 255).round() / 127.5 - 1
    np.testing.assert_allclose(first, stored.mean((1, 2)), atol=1e-5)
    np.testing.assert_array_equal(make(extractor).real["pooled"], first)
    assert extractor.processed == 100


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
    make, tiny_data, changes
):
    assert make(Colours()).real
    network = {k: changes.pop(k) for k in ("sha256", "name") if k in changes}
    extractor = Colours(**network)
    if digest := changes.pop("digest", None):
        test = copy.copy(tiny_data.test)
        test.digest = lambda indices: digest
        changes = {"data": tiny_data._replace(test=test)}
    assert make(extractor, **changes).real
    assert extractor.processed > 0


@pytest.mark.parametrize("own", [True, False])
def test_features_of_encoders_in_training_are_not_cached(
    make, tiny_model, tmp_path, own
):
    found = make(None if own else Colours())
    config = dataclasses.replace(tiny_model.config, finetune_damsm=True)
    found.encoders = found.encoders._replace(config=config)
    assert found.real
    assert (tmp_path / FOLDER).exists() != own


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
