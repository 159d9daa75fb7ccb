"""A name or a path finds the kind of network it is."""

import pathlib

import keras
import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features.opening import open_extractor


def classifier() -> keras.Model:
    picture = keras.Input((16, 16, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(picture)
    return keras.Model(picture, keras.layers.Dense(4, "softmax")(pooled))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_keras_models_go_by_their_ending(ending, save, tmp_path):
    path = str(tmp_path / f"bird.{ending}")
    save(classifier(), path)
    assert open_extractor(path).name == f"Keras model bird.{ending}"


def test_a_saved_model_is_a_folder(tmp_path):
    model = tf.Module()
    spec = tf.TensorSpec([None, 16, 16, 3], tf.float32)
    model.look = tf.function(
        lambda x: {"pooled": tf.reduce_mean(x, [1, 2])}, input_signature=[spec]
    )
    path = tmp_path / "birds" / "1"
    tf.saved_model.save(model, str(path), model.look)
    assert open_extractor(str(path)).name == "SavedModel 1"
    with pytest.raises(UserError, match=r"birds' is none"):
        open_extractor(str(path.parent))


@pytest.mark.parametrize(
    ("name", "weights", "text"),
    [
        ("inception_v4", "imagenet", "must be inception_v3, .* found nothing"),
        ("/no/such/bird.keras", "imagenet", "found nothing at '/no/such"),
        ("x.pb", "imagenet", "x.pb is none: "),
        ("x.keras", "imagenet", "x.keras could not be loaded"),
        ("x.txt", "imagenet", "x.txt' is none"),
        ("folder.keras", "imagenet", "folder.keras' is none"),
        ("x.keras", "other.h5", "'other.h5' beside '.*x.keras', which has"),
        ("inception_v3", "other.h5", "no file at 'other.h5'"),
    ],
)
def test_what_is_no_backend_is_told(name, weights, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("x.pb", "x.keras", "x.txt"):
        pathlib.Path(file).write_text("nothing")
    pathlib.Path("folder.keras").mkdir()
    with pytest.raises(UserError, match=text) as error:
        open_extractor(name, weights)
    assert "\n" not in str(error.value)
