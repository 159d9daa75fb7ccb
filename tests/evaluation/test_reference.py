"""Features of real pictures, computed once."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.views import centre_views
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.evaluation.reference import FOLDER, real_features

SIZE = 8


@pytest.fixture
def data(tiny_config, tmp_path):
    config = tiny_config(prepared_dir=str(tmp_path / "prepared"))
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    return prepared_data.read_data(builder)


class Colours(FeatureExtractor):
    """The mean colour of pictures; counts what it is asked."""

    def __init__(self, sha256="abc", name="colours"):
        self.seen = 0

        def count(images):
            self.seen += len(images)
            return images

        def network(images):
            images = tf.numpy_function(count, [images], tf.float32)
            images.set_shape([None, None, None, 3])
            return {"pooled": tf.reduce_mean(images, [1, 2])}

        super().__init__(name=name, sha256=sha256, size=SIZE, network=network)
        self.seen = 0


def held_out(records, vocabulary, count=100):
    return HeldOut(
        records=records, vocabulary=vocabulary, words_num=5, count=count
    )


def features(backend, data, folder, split="test", count=100, size=SIZE):
    pictures = held_out(getattr(data, split), data.vocabulary, count)
    strategy = tf.distribute.get_strategy()
    return real_features(backend, pictures, size, str(folder), strategy)


def test_they_are_of_the_pictures_in_order(data, tmp_path):
    found = features(Colours(), data, tmp_path)["pooled"]
    places = held_out(data.test, data.vocabulary).indices
    batches = centre_views(data.test, (SIZE,), 50, places)
    images = np.concatenate([batch[f"images_{SIZE}"] for batch in batches])
    stored = np.clip((images + 1) * 127.5, 0, 255).round() / 127.5 - 1
    np.testing.assert_allclose(found, stored.mean((1, 2)), atol=1e-5)


def test_they_are_computed_once(data, tmp_path):
    backend = Colours()
    first = features(backend, data, tmp_path)["pooled"]
    assert backend.seen == 100
    again = Colours()
    np.testing.assert_array_equal(
        features(again, data, tmp_path)["pooled"], first
    )
    assert again.seen == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "train"},
        {"count": 99},
        {"size": 2 * SIZE},
        {"sha256": "other"},
        {"name": "colours, seen at 75"},
    ],
    ids=str,
)
def test_other_pictures_or_networks_are_others(data, tmp_path, changes):
    features(Colours(), data, tmp_path)
    network = {"sha256", "name"} & set(changes)
    backend = Colours(**{name: changes.pop(name) for name in network})
    features(backend, data, tmp_path, **changes)
    assert backend.seen > 0


def test_changed_pictures_are_noticed(data, tmp_path, tiny_config):
    """By their content: nothing else tells the two data sets apart."""
    backend = Colours()
    features(backend, data, tmp_path)
    folder = tmp_path / "birds"
    config = tiny_config()
    shutil.copytree(config.data_dir, folder)
    name = (folder / "test.txt").read_text().split()[0]
    other = (folder / "test.txt").read_text().split()[1]
    shutil.copy(folder / f"images/{other}.png", folder / f"images/{name}.png")
    builder = catalog.open_configured(
        tiny_config(data_dir=str(folder), prepared_dir=str(tmp_path / "new"))
    )
    catalog.prepare(builder)
    backend.seen = 0
    features(backend, prepared_data.read_data(builder), tmp_path)
    assert backend.seen == 100


def test_half_a_file_is_never_read(data, tmp_path, monkeypatch):
    backend = Colours()
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", lambda *paths: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            features(backend, data, tmp_path)
    assert os.listdir(tmp_path / FOLDER) == []
    backend.seen = 0
    features(backend, data, tmp_path)
    assert backend.seen == 100


def test_two_processes_may_write_the_same(data, tmp_path, monkeypatch):
    alone = features(Colours(), data, tmp_path / "alone")["pooled"]
    images, others = HeldOut.images, []

    def interrupted(self, size):
        yield from images(self, size)
        monkeypatch.undo()
        others.append(features(Colours(), data, tmp_path)["pooled"])

    monkeypatch.setattr(HeldOut, "images", interrupted)
    found = features(Colours(), data, tmp_path)["pooled"]
    for array in (
        found,
        *others,
        features(Colours(), data, tmp_path)["pooled"],
    ):
        np.testing.assert_array_equal(array, alone)
    assert others


def test_what_a_killed_process_left_is_removed(data, tmp_path):
    left = tmp_path / FOLDER / ".writing-left"
    left.mkdir(parents=True)
    (left / "pooled.npy").write_bytes(b"half")
    features(Colours(), data, tmp_path)
    (kept,) = os.listdir(tmp_path / FOLDER)
    assert kept.endswith("_pooled.npy")


def test_where_nothing_can_be_written_nothing_is_kept(data, tmp_path, capsys):
    (tmp_path / FOLDER).write_text("a file where the folder would be")
    for _ in range(2):
        found = features(Colours(), data, tmp_path)["pooled"]
        assert found.shape == (100, 3)
    assert "are not cached" in capsys.readouterr().err
