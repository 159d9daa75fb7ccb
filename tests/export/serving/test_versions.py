"""Which versions serve."""

import threading

import pytest
from fake_versions import Fake, Loader, newest, publish, states

from attngan_tf.errors import UserError
from export.serving.errors import Code, ServingError
from export.serving.model_settings import ModelSettings
from export.serving.versions import Model


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def loads(loader):
    """The versions loaded, in order."""
    return loader.loads


@pytest.fixture
def make(tmp_path, loader):
    """Makes a model of a folder."""

    def make(**fields):
        settings = ModelSettings(name="m", base_path=str(tmp_path), **fields)
        return Model(settings, loader)

    return make


def test_the_newest_number_serves(make, tmp_path, loads):
    for version in (2, 10, 9):
        publish(tmp_path, version)
    (tmp_path / "notes").mkdir()
    (tmp_path / "99").touch()
    model = make()
    model.start()
    assert loads == [10]
    assert newest(model) == 10
    assert states(model) == {10: "AVAILABLE"}


def test_a_new_version_replaces_the_old_after_its_requests(make, tmp_path):
    publish(tmp_path, 1)
    model = make()
    model.start()
    with model.use(None) as old:
        publish(tmp_path, 2)
        model.poll()
        assert newest(model) == 2
        assert states(model) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert not old.is_closed
        with pytest.raises(ServingError), model.use(1):
            pass
    assert old.is_closed
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_the_old_version_serves_while_the_new_one_loads(tmp_path):
    publish(tmp_path, 1)
    begun, may_end = threading.Event(), threading.Event()

    def load(name, version, path):
        if version == 2:
            begun.set()
            assert may_end.wait(10)
        return Fake(version)

    model = Model(ModelSettings(name="m", base_path=str(tmp_path)), load)
    model.start()
    publish(tmp_path, 2)
    thread = threading.Thread(target=model.poll)
    thread.start()
    assert begun.wait(10)
    assert newest(model) == 1
    assert states(model) == {1: "AVAILABLE", 2: "LOADING"}
    may_end.set()
    thread.join()
    assert newest(model) == 2


def test_a_bad_version_keeps_the_old_one_and_is_tried_when_it_changes(
    make, tmp_path, loads
):
    publish(tmp_path, 1)
    model = make()
    model.start()
    publish(tmp_path, 2, bad=True)
    for _ in range(3):
        model.poll()
    assert loads == [1, 2]
    assert newest(model) == 1
    (status,) = model.statuses(2)
    assert (status.state, status.code) == ("END", Code.DATA_LOSS)
    assert status.message == "it is bad"
    (tmp_path / "2" / "bad").write_text("still")
    model.poll()
    assert loads == [1, 2, 2]
    (tmp_path / "2" / "bad").unlink()
    model.poll()
    assert newest(model) == 2
    assert states(model) == {1: "END", 2: "AVAILABLE"}


def test_a_bad_version_published_anew_is_tried_again(make, tmp_path, loads):
    publish(tmp_path, 1)
    model = make()
    model.start()
    publish(tmp_path, 2, bad=True)
    model.poll()
    (tmp_path / "2").rename(tmp_path / "away")
    model.poll()
    (tmp_path / "away").rename(tmp_path / "2")
    model.poll()
    assert loads == [1, 2, 2]


def test_the_policies(make, tmp_path):
    for version in (1, 2, 3):
        publish(tmp_path, version)
    served = {"state": "AVAILABLE"}
    for fields, versions in [
        ({"newest": 2}, {2, 3}),
        ({"newest": 0}, {1, 2, 3}),
        ({"newest": 0, "specific": (1, 3)}, {1, 3}),
    ]:
        model = make(**fields)
        model.start()
        assert states(model) == dict.fromkeys(versions, served["state"])
        with model.use(min(versions)) as servable:
            assert servable.version == min(versions)


def test_labels(make, tmp_path):
    for version in (1, 2):
        publish(tmp_path, version)
    model = make(newest=2, labels={"stable": 1, "canary": 2})
    model.start()
    assert model.version_of("stable") == 1
    assert model.version_of("canary") == 2
    with pytest.raises(ServingError) as raised:
        model.version_of("nope")
    assert raised.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(UserError, match="stable"):
        make(newest=1, labels={"stable": 1}).start()


def test_numbers_beyond_64_bits_are_no_versions(make, tmp_path):
    publish(tmp_path, 1)
    publish(tmp_path, 2**63)
    model = make()
    model.start()
    assert newest(model) == 1
    assert states(model) == {1: "AVAILABLE"}


def test_what_stops_the_start(make, tmp_path):
    with pytest.raises(UserError, match="must hold version 1 or higher"):
        make().start()
    publish(tmp_path, 1)
    with pytest.raises(UserError, match="received 1"):
        make(newest=0, specific=(7,)).start()
    publish(tmp_path, 2, bad=True)
    with pytest.raises(UserError, match="it is bad"):
        make().start()
    (tmp_path / "1").rename(tmp_path / "x")
    (tmp_path / "2").rename(tmp_path / "y")
    with pytest.raises(UserError, match="folder"):
        Model(ModelSettings(name="m", base_path="/nope"), None).start()


def test_an_emptied_folder_unloads_and_an_unreadable_one_does_not(
    make, tmp_path
):
    publish(tmp_path, 1)
    model = make()
    model.start()
    away = tmp_path.with_name("away")
    tmp_path.rename(away)
    with pytest.raises(FileNotFoundError):
        model.poll()
    assert newest(model) == 1
    away.rename(tmp_path)
    (tmp_path / "1").rmdir()
    model.poll()
    with pytest.raises(ServingError) as raised:
        newest(model)
    assert raised.value.code is Code.NOT_FOUND
