"""Several models, and what changes while they are served."""

import concurrent.futures
import dataclasses
import threading

import pytest
from fake_versions import Loader, newest, publish, states
from server_process import wait_for

from attngan_tf.errors import UserError
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


class Blocking(Loader):
    """Loads version 2 when it is told to."""

    def __init__(self):
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, name, version, path):
        if version == 2:
            self.begun.set()
            assert self.go_on.wait(10)
        return super().__call__(name, version, path)


@pytest.fixture
def first(settings):
    """Version 1 alone, stable; its models, and the loader of version 2."""
    loader = Blocking()
    only = dataclasses.replace(
        settings, newest=0, specific=(1,), labels={"stable": 1}
    )
    models = Models([only], loader)
    models.start()
    yield only, models, loader
    loader.go_on.set()


@pytest.mark.parametrize("versions", [(1, 2), (2,)])
def test_a_label_moves_between_loading_and_the_end(first, versions):
    only, models, loader = first
    model = models.find("m")
    wanted = dataclasses.replace(only, specific=versions, labels={"stable": 2})

    def stable() -> int:
        with model.use(label="stable") as servable:
            return servable.version

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        changed = pool.submit(models.change, [wanted])
        assert loader.begun.wait(10)
        assert stable() == 1
        loader.go_on.set()
        while not changed.done():
            assert stable() in (1, 2)
        changed.result()
    assert stable() == 2
    ended = {1: "AVAILABLE" if 1 in versions else "END", 2: "AVAILABLE"}
    assert states(model) == ended
    assert models.find("m") is model


def test_a_model_that_goes_while_it_loads_leaves_nothing(first):
    only, models, loader = first
    model = models.find("m")
    model.settings = dataclasses.replace(only, specific=(1, 2))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        polled = pool.submit(models.poll)
        assert loader.begun.wait(10)
        model.close(seconds=0)
        loader.go_on.set()
        polled.result()
    assert states(model) == {1: "END", 2: "END"}
    models.poll()
    assert states(model) == {1: "END", 2: "END"}


def test_an_error_of_ours_does_not_end_the_watch(settings, capsys):
    models = Models([settings], Loader())
    calls = []

    def look():
        calls.append(1)
        raise KeyError("ours")

    models.watch(look, 0.01)
    wait_for(lambda: len(calls) > 2)
    models.close()
    assert "KeyError: 'ours'" in capsys.readouterr().err


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
    said = capsys.readouterr().out
    assert "absent cannot be changed" in said
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
    loader = Loader()
    models = Models([settings], loader)
    models.start()
    publish(tmp_path / "bad", 1)
    publish(tmp_path / "bad", 2, bad=True)
    path = str(tmp_path / "bad")
    wanted = dataclasses.replace(settings, base_path=path, newest=2)
    models.change([wanted])
    assert "it is bad" in capsys.readouterr().out
    assert newest(models.find("m")) == 2
    # The good one of the two was closed again.
    assert loader.made[-1].is_closed
    # It is not tried again before something changes.
    models.change([wanted])
    assert capsys.readouterr().out == ""
    (tmp_path / "bad" / "2" / "bad").unlink()
    models.change([wanted])
    assert newest(models.find("m")) == 2
    assert models.find("m").settings == wanted
