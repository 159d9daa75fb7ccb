"""Several models, and what changes while they are served."""

import dataclasses

import pytest
from fake_versions import Loader, newest, publish, states
from server_process import wait_for

from attngan_tf.config import UserError
from export.serving.errors import ServingError
from export.serving.model_settings import ModelSettings
from export.serving.models import Models


@pytest.fixture
def settings(tmp_path):
    """A model `m` with versions 1 and 2, of which the newest serves."""
    for version in (1, 2):
        publish(tmp_path, version)
    return ModelSettings(name="m", base_path=str(tmp_path))


def test_the_folder_is_watched(settings, tmp_path):
    models = Models([settings], Loader())
    models.start()
    models.watch(models.poll, 0.01)
    away = tmp_path.with_name("gone")
    tmp_path.rename(away)
    # It is told, and the watch goes on.
    wait_for(lambda: states(models.find("m")) == {2: "AVAILABLE"})
    away.rename(tmp_path)
    publish(tmp_path, 3)
    wait_for(lambda: states(models.find("m")).get(2) == "END")
    assert newest(models.find("m")) == 3
    assert models.close()
    assert states(models.find("m")) == {2: "END", 3: "END"}


def test_labels_move_once_their_version_serves(settings):
    both = dataclasses.replace(settings, newest=0, specific=(1, 2))
    models = Models([dataclasses.replace(both, labels={"stable": 1})], Loader())
    models.start()
    model = models.find("m")
    models.change([dataclasses.replace(both, labels={"stable": 2})])
    assert model.version_of("stable") == 2
    assert models.find("m") is model


def test_a_label_without_its_version_stays(settings, capsys):
    models = Models([dataclasses.replace(settings, labels={"x": 2})], Loader())
    models.start()
    wanted = dataclasses.replace(settings, labels={"x": 7})
    models.change([wanted])
    assert (
        "label x of m must name a version that is served (2); received 7"
        in (capsys.readouterr().out)
    )
    assert models.find("m").version_of("x") == 2
    with pytest.raises(UserError, match="received 7"):
        Models([wanted], Loader()).start()
    waiting = Models([wanted], Loader(), labels_may_wait=True)
    waiting.start()
    assert waiting.find("m").version_of("x") == 7


def test_models_come_and_go(settings, tmp_path, capsys):
    models = Models([settings], Loader())
    models.start()
    first = models.find("m")
    other = dataclasses.replace(settings, name="other")
    absent = dataclasses.replace(settings, name="absent", base_path="/nope")
    models.change([other, absent])
    assert "absent cannot be changed" in capsys.readouterr().out
    assert [model.settings.name for model in models] == ["other"]
    assert states(first) == {2: "END"}
    with pytest.raises(ServingError, match="no model is named"):
        models.find("m")


def test_another_folder_replaces_the_first(settings, tmp_path):
    models = Models([settings], Loader())
    models.start()
    first = models.find("m")
    publish(tmp_path / "elsewhere", 9)
    path = str(tmp_path / "elsewhere")
    models.change([dataclasses.replace(settings, base_path=path)])
    assert newest(models.find("m")) == 9
    assert states(first) == {2: "END"}


def test_a_folder_that_cannot_be_served_keeps_the_first(
    settings, tmp_path, capsys
):
    models = Models([settings], Loader())
    models.start()
    publish(tmp_path / "bad", 1, bad=True)
    path = str(tmp_path / "bad")
    models.change([dataclasses.replace(settings, base_path=path)])
    assert "it is bad" in capsys.readouterr().out
    assert newest(models.find("m")) == 2
