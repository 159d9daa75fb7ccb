"""Which models and versions are served."""

import dataclasses
import threading

import pytest
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from attngan_tf.errors import UserError
from export.serving.errors import ServingError
from export.serving.model_settings import ModelSettings
from export.serving.models import Models

State = ModelVersionStatus.State


class Fake:
    """A servable that counts its users and knows when it is closed."""

    def __init__(self, version):
        self.version = version
        self.users = 0
        self.is_closed = False
        self._closed = None

    def acquire(self):
        self.users += 1

    def release(self):
        self.users -= 1
        self._end()

    def retire(self, closed):
        self._closed = closed
        self._end()

    def _end(self):
        if self._closed and not self.users:
            self.is_closed = True
            self._closed()


@pytest.fixture
def settings(tmp_path):
    return ModelSettings(name="m", base_path=str(tmp_path))


@pytest.fixture
def start(settings):
    """Starts the model `m`; returns the models, `m`, and its settings."""

    def start(labels_may_wait=False, **fields):
        changed = dataclasses.replace(settings, **fields)
        models = Models(lambda _, version, __: Fake(version), labels_may_wait)
        models.start([changed])
        return models, models.find("m"), changed

    return start


def publish(folder, *versions):
    for version in versions:
        (folder / str(version)).mkdir(parents=True)


def states(model):
    return {s.version: State.Name(s.state) for s in model.statuses(None)}


def served(model, **choice):
    with model.use(**choice) as servable:
        return servable.version


def test_newest_number_is_served(start, tmp_path):
    publish(tmp_path, 2, 10, 9, 2**63)
    (tmp_path / "notes").mkdir()
    (tmp_path / "99").touch()
    _, model, _ = start()
    assert served(model) == 10
    assert states(model) == {10: "AVAILABLE"}


def test_new_version_replaces_the_old_after_its_requests(start, tmp_path):
    publish(tmp_path, 1)
    models, model, settings = start()
    with model.use() as old:
        publish(tmp_path, 2)
        models.update([settings])
        assert served(model) == 2
        assert states(model) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert not old.is_closed
        with pytest.raises(ServingError):
            served(model, version=1)
    assert old.is_closed
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_label_moves_after_loading_and_before_unloading(settings, tmp_path):
    publish(tmp_path, 1, 2)
    begun, may_end = threading.Event(), threading.Event()

    def load(name, version, path):
        if version == 2:
            begun.set()
            assert may_end.wait(10)
        return Fake(version)

    fields = {"newest": 0, "specific": (1,), "labels": {"stable": 1}}
    models = Models(load)
    models.start([dataclasses.replace(settings, **fields)])
    model = models.find("m")
    wanted = dataclasses.replace(
        settings, newest=0, specific=(2,), labels={"stable": 2}
    )
    thread = threading.Thread(target=models.update, args=[[wanted]])
    thread.start()
    assert begun.wait(10)
    assert served(model) == served(model, label="stable") == 1
    assert states(model) == {1: "AVAILABLE", 2: "LOADING"}
    may_end.set()
    while thread.is_alive():
        assert served(model, label="stable") in (1, 2)
    assert served(model, label="stable") == 2
    assert states(model) == {1: "END", 2: "AVAILABLE"}


def test_label_needs_a_served_version(start, tmp_path, capsys):
    publish(tmp_path, 1, 2)
    _, model, settings = start(newest=2, labels={"stable": 1, "canary": 2})
    assert served(model, label="stable") == 1
    assert served(model, label="canary") == 2
    with pytest.raises(ServingError, match="no version label 'nope'"):
        served(model, label="nope")
    said = r"label x of m must name a version that is served \(2\); received 7"
    with pytest.raises(UserError, match=said):
        start(labels={"x": 7})
    models, model, settings = start(labels={"x": 2})
    for _ in range(2):
        models.update([dataclasses.replace(settings, labels={"x": 7})])
    assert capsys.readouterr().out.count("received 7") == 1
    assert served(model, label="x") == 2
    _, model, _ = start(labels_may_wait=True, labels={"x": 7})
    with pytest.raises(ServingError, match="version 7 of m is not served"):
        served(model, label="x")


def test_models_come_and_go(start, tmp_path, capsys):
    publish(tmp_path, 1)
    models, first, settings = start()
    other = dataclasses.replace(settings, name="other")
    absent = dataclasses.replace(settings, name="absent", base_path="/nope")
    for _ in range(2):
        models.update([other, absent])
    said = capsys.readouterr().out
    assert said.count("absent cannot be updated: ") == 1
    assert served(models.find("other")) == 1
    assert states(first) == {1: "END"}
    with pytest.raises(ServingError, match="no model is named 'm'"):
        models.find("m")


def test_folder_that_is_gone_for_a_while_changes_nothing(start, tmp_path):
    publish(tmp_path, 1)
    models, model, settings = start()
    tmp_path.rename(tmp_path.with_name("away"))
    models.update([settings])
    assert states(model) == {1: "AVAILABLE"}
    tmp_path.with_name("away").rename(tmp_path)
    publish(tmp_path, 2)
    models.update([settings])
    assert served(model) == 2
