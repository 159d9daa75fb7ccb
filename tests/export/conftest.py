"""Exported models of the tiny run, shared by the tests of export/."""

import pytest
from absl import flags
from loaded import Loaded


@pytest.fixture(scope="session")
def export_version():
    """Runs `python -m export.saved_model` with these flags, in process."""
    from export import saved_model

    def run(*arguments: str) -> None:
        values = flags.FlagValues()
        saved_model.define_flags(values)
        rest = values(["saved_model", *arguments])
        saved_model.main(values, rest[1:])

    return run


@pytest.fixture(scope="session")
def generator_dir(tiny_workdir, export_version, tmp_path_factory):
    """A folder with version 1 of the tiny run's generator."""
    folder = tmp_path_factory.mktemp("exported") / "attngan"
    export_version(f"--workdir={tiny_workdir}", f"--export_dir={folder}")
    return folder


@pytest.fixture(scope="session")
def damsm_dir(tiny_workdir, export_version, tmp_path_factory):
    """A folder with version 1 of the tiny run's encoders."""
    folder = tmp_path_factory.mktemp("exported") / "attngan_damsm"
    export_version(
        f"--workdir={tiny_workdir}", f"--export_dir={folder}", "--model=damsm"
    )
    return folder


@pytest.fixture(scope="session")
def generator(generator_dir):
    """The exported generator in a session."""
    loaded = Loaded(generator_dir / "1")
    yield loaded
    loaded.session.close()
