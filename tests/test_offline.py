"""The commands use no network."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# An audit hook that refuses and records every connection and look-up.
NO_NETWORK = """
import os, sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with open(os.environ["TRIED"], "a") as file:
            print(event, arguments, file=file)
        raise OSError(f"there is no network: {arguments}")
sys.addaudithook(hook)
"""
# The packages of the extra `serve`.
NO_SERVER = """
sys.modules.update(dict.fromkeys(["grpc", "orjson", "waitress"]))
"""
OFFLINE = """
import sys
from absl import flags
from attngan_tf.cli import command
from attngan_tf import evaluate, generate, prepare, train
from export import saved_model
config, work, out = sys.argv[1:4], sys.argv[4], sys.argv[5]
def run(module, define, *arguments):
    values = flags.FlagValues()
    define(values)
    module.main(values, values(["command", *arguments])[1:])
run(prepare, prepare.define_flags, *config)
run(train, command.define_config_flags, *config, f"--workdir={work}")
run(generate, generate.define_flags, f"--workdir={work}",
    f"--output={out}/pictures", "a red bird")
run(evaluate, evaluate.define_flags, f"--workdir={work}",
    "--num_images=100", "--metrics=r_precision,diversity")
run(saved_model, saved_model.define_flags, f"--workdir={work}",
    f"--export_dir={out}/model")
"""


def without_network() -> list[str]:
    """A command prefix that removes the network, if that is permitted."""
    start = ["unshare", "--map-root-user", "--net"]
    try:
        tried = subprocess.run([*start, "true"], capture_output=True)
    except OSError:
        return []
    return start if tried.returncode == 0 else []


@pytest.mark.slow
def test_commands_need_no_network_and_no_server(tiny_config, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK + NO_SERVER)
    tried = tmp_path / "tried"
    config = tiny_config(damsm_steps=2, gan_steps=2, workdir="")
    flagfile = tmp_path / "tiny.flags"
    flagfile.write_text(
        "".join(
            f"--{name}={value}\n"
            for name, value in vars(config).items()
            if value is not None and name not in ("workdir", "prepared_dir")
        )
    )
    arguments = [f"--flagfile={flagfile}", f"--prepared_dir={tmp_path}/data"]
    arguments += ["--distribution=one_device", f"{tmp_path}/run"]
    done = subprocess.run(
        [
            *without_network(),
            sys.executable,
            "-c",
            OFFLINE,
            *arguments,
            str(tmp_path),
        ],
        env=os.environ
        | {
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "TRIED": str(tried),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert not tried.exists(), tried.read_text()
    assert (tmp_path / "pictures" / "contact_sheet.png").exists()
    assert (tmp_path / "model" / "1" / "saved_model.pb").exists()
    # The hook itself refuses and records a connection.
    attempt = "import socket; socket.create_connection(('127.0.0.1', 9))"
    refused = subprocess.run(
        [sys.executable, "-c", attempt],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "TRIED": str(tried)},
        capture_output=True,
        text=True,
    )
    assert "there is no network" in refused.stderr
    assert "socket.getaddrinfo" in tried.read_text()
