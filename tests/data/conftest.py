"""Fixtures of the data room's tests."""

import pytest

from tests.data import helpers


@pytest.fixture
def raw_folder(tmp_path) -> helpers.RawFolder:
    """A small data set in the `folder` layout, which the test may damage."""
    return helpers.make_raw_folder(tmp_path / "raw")


@pytest.fixture
def prepare(tmp_path) -> helpers.Preparation:
    """Prepares data sets in the `folder` layout below `tmp_path`."""
    return helpers.Preparation("folder", tmp_path / "prepared")


@pytest.fixture
def open_builder(raw_folder, prepare):
    """Opens `raw_folder`; nothing is prepared yet."""
    return lambda: prepare.open(raw_folder.root)


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory):
    """The builder of prepared data that no test changes."""
    root = tmp_path_factory.mktemp("prepared_folder")
    raw = helpers.make_raw_folder(root / "raw")
    builder, _ = helpers.Preparation("folder", root / "p")(raw.root)
    return builder
