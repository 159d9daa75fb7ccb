"""Exported models of the tiny run, and a server of them, shared by tests."""

import shutil

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
def model(tiny_workdir):
    """The tiny run's model, which was not exported."""
    import attngan_tf

    return attngan_tf.load(str(tiny_workdir))


@pytest.fixture(scope="session")
def damsm_workdir(tiny_workdir, tmp_path_factory):
    """The tiny run's workdir as it is before the GAN is trained."""
    folder = tmp_path_factory.mktemp("damsm") / "run"
    shutil.copytree(tiny_workdir, folder)
    shutil.rmtree(folder / "gan")
    return folder


@pytest.fixture(scope="session")
def generator_dir(tiny_workdir, export_version, tmp_path_factory):
    """A folder with version 1 of the tiny run's generator."""
    folder = tmp_path_factory.mktemp("exported") / "attngan"
    export_version(f"--workdir={tiny_workdir}", f"--export_dir={folder}")
    return folder


@pytest.fixture(scope="session")
def damsm_dir(damsm_workdir, export_version, tmp_path_factory):
    """A folder with version 1 of the tiny run's encoders."""
    folder = tmp_path_factory.mktemp("exported") / "attngan_damsm"
    export_version(
        f"--workdir={damsm_workdir}", f"--export_dir={folder}", "--model=damsm"
    )
    return folder


@pytest.fixture(scope="session")
def toy_dir(tmp_path_factory):
    """A folder with version 1 of the toy model, with a warm-up record."""
    import toy_model

    folder = tmp_path_factory.mktemp("toy")
    toy_model.write_warmup(toy_model.write(folder, 1))
    return folder


@pytest.fixture(scope="session")
def generator(generator_dir):
    """The exported generator in a session."""
    with Loaded(generator_dir / "1") as loaded:
        yield loaded


@pytest.fixture(scope="session")
def damsm(damsm_dir):
    """The exported encoders in a session."""
    with Loaded(damsm_dir / "1") as loaded:
        yield loaded


@pytest.fixture(scope="session")
def deployed_server(generator_dir, damsm_dir, toy_dir, tmp_path_factory):
    """A development server of both models and toy, with batching."""
    from deployed import deployed

    models = {
        "attngan": generator_dir,
        "attngan_damsm": damsm_dir,
        "toy": toy_dir,
    }
    with deployed(tmp_path_factory.mktemp("deployed"), models) as running:
        yield running
