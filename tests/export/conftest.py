"""Exported models of the tiny run, a server of them, and its clients."""

import shutil
import sys

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
    """A development server of three models, with the files of export/deploy."""
    from server_process import DEPLOY, served

    folder = tmp_path_factory.mktemp("deployed")
    text = (DEPLOY / "models.pbtxt").read_text()
    toy = f'name: "toy" base_path: "{toy_dir}" model_platform: "tensorflow"'
    for old, new in {
        "model_config_list {": f"model_config_list {{ config {{ {toy} }}",
        '"/models/attngan"': f'"{generator_dir}"',
        '"/models/attngan_damsm"': f'"{damsm_dir}"',
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "models.pbtxt").write_text(text)
    with served(
        folder / "server.log",
        f"--model_config_file={folder / 'models.pbtxt'}",
        "--enable_batching",
        f"--batching_parameters_file={DEPLOY / 'batching.pbtxt'}",
        f"--monitoring_config_file={DEPLOY / 'monitoring.pbtxt'}",
        "--page",
        "--rest_api_enable_cors_support",
        model="attngan",
    ) as running:
        yield running


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs the client in an empty folder; returns its exit code and output."""
    from export import client

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["client", *arguments])
        code = 0
        try:
            client.main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def error_of(call):
    """The one line of a client's command that must fail."""

    def run(*arguments: str) -> str:
        code, out, err = call(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """A browser."""
    import browser

    with browser.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def look(driver):
    """Prepares the browser for a page that is served at a URL."""
    import browser

    def fresh(url: str) -> browser.Page:
        page = browser.Page(driver, url)
        page.resize(1100)
        page.console()
        return page

    return fresh
