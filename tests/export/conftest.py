"""Exported models of the tiny run, shared by the tests of export/."""

import pathlib

import pytest
from absl import flags


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


class Loaded:
    """A version in a v1 session of this process."""

    def __init__(self, folder: pathlib.Path):
        import tensorflow as tf

        self.session = tf.compat.v1.Session(graph=tf.Graph())
        loaded = tf.compat.v1.saved_model.load(
            self.session, ["serve"], str(folder)
        )
        self.signatures = loaded.signature_def

    def run(self, name: str, **inputs) -> dict:
        signature = self.signatures[name]
        feeds = {
            signature.inputs[key].name: value for key, value in inputs.items()
        }
        fetches = {key: info.name for key, info in signature.outputs.items()}
        return self.session.run(fetches, feeds)


@pytest.fixture(scope="session")
def generator(generator_dir):
    """The exported generator in a session."""
    loaded = Loaded(generator_dir / "1")
    yield loaded
    loaded.session.close()
