"""Names and paths open the right kind of extractor."""

import pathlib

import pytest

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features import opening


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("x.pb", "x.keras", "x.h5", "x.txt"):
        pathlib.Path(file).write_text("nothing")
    for folder in ("folder.keras", "model/1"):
        pathlib.Path(folder).mkdir(parents=True)
    pathlib.Path("model/1/saved_model.pb").touch()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.keras", "keras_model"),
        ("x.h5", "keras_model"),
        ("model/1", "saved_model"),
        ("x.pb", "frozen_graph"),
    ],
)
def test_the_kind_depends_on_the_path(name, kind, files, monkeypatch):
    monkeypatch.setattr(opening, kind, lambda path: f"opened {path}")
    assert opening.open_extractor(name) == f"opened {name}"


def test_inception_takes_weights(monkeypatch):
    monkeypatch.setattr(opening, "inception_v3", lambda weights: weights)
    assert opening.open_extractor("inception_v3") == "imagenet"
    assert opening.open_extractor("inception_v3", "a.h5") == "a.h5"


@pytest.mark.parametrize(
    "name", ["inception_v4", "no/bird.keras", "x.txt", "folder.keras", "model"]
)
def test_other_names_are_rejected(name, files):
    text = f"must be inception_v3, .* found none at '{name}'"
    with pytest.raises(UserError, match=text):
        opening.open_extractor(name)
