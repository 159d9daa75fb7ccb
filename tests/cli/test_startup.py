"""Commands hide the messages of TensorFlow's start, and no others."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from attngan_tf.cli import startup
from tests import processes

ROOT = pathlib.Path(__file__).parents[2]
START = (
    b"WARNING: All log messages before absl::InitializeLog() is called are\n"
    b"I0000 00:00:1.5   19 port.cc:153] oneDNN custom operations are on.\n"
    b"I0000 00:00:1.5   19 cudart_stub.cc:31] Could not find cuda drivers\n"
    b"E0000 00:00:1.5   19 cuda_platform.cc:52] failed call to cuInit\n"
)


def environment() -> dict[str, str]:
    """Without a log level."""
    return {k: v for k, v in os.environ.items() if k != startup.LEVEL}


def run(*command: str) -> subprocess.CompletedProcess:
    """A command as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


HELP = """
from attngan_tf.cli import command
command.run(command.define_config_flags, print)
"""


def test_help_lists_the_flags():
    done = subprocess.run(
        [sys.executable, "-c", HELP, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    for name in ("--num_stages", "--[no]jit_compile", "--damsm_lambda"):
        assert name in done.stdout


def test_the_search_for_devices_logs_nothing():
    """The benchmark opens its devices, and then misses the raw data."""
    done = run("attngan_tf.benchmark", "--dataset=folder", "--data_dir=/none")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_only_messages_of_the_start_are_hidden(capfd):
    def write():
        os.write(2, b"one\n" + START + b"E0000 00:00:1.5   19 other.cc:5] two")
        raise KeyError

    with pytest.raises(KeyError), startup._stderr_filtered():
        write()
    os.write(2, b" three\n")
    expected = "one\nE0000 00:00:1.5   19 other.cc:5] two three\n"
    assert capfd.readouterr().err == expected


@pytest.mark.parametrize(
    ("arguments", "level", "hidden"),
    [
        (["-m"], None, True),
        (["-m"], "0", False),
        (["program.py", "-m"], None, False),
    ],
)
def test_only_commands_set_the_log_level_unless_the_user_has(
    monkeypatch, arguments, level, hidden
):
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delenv(startup.LEVEL, raising=False)
    if level:
        monkeypatch.setenv(startup.LEVEL, level)
    startup.start_command()
    assert bool(sys.meta_path) == hidden
    assert os.environ.get(startup.LEVEL) == ("3" if hidden else level)


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_onednn_is_used_unless_disabled(monkeypatch, before, after):
    monkeypatch.delenv(startup.ONEDNN, raising=False)
    if before:
        monkeypatch.setenv(startup.ONEDNN, before)
    startup.use_onednn()
    assert os.environ[startup.ONEDNN] == after


def interrupt_import(number, *command, environ=None) -> tuple[int, str]:
    """Exit code and stderr after a signal while TensorFlow is imported."""
    process = processes.start(
        [sys.executable, *command],
        env=environment() | (environ or {}),
        stderr=subprocess.PIPE,
    )
    maps = pathlib.Path(f"/proc/{process.pid}/maps")
    while "libtensorflow" not in maps.read_text():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    return process.returncode, printed


@pytest.mark.parametrize(
    ("command", "number", "trains"),
    [
        (["-um", "attngan_tf.train"], signal.SIGTERM, True),
        (["-m", "export.saved_model"], signal.SIGINT, False),
    ],
)
def test_a_signal_during_imports_prints_one_line(command, number, trains):
    code, printed = interrupt_import(number, *command)
    line = startup.NOTHING_LOST if trains else "interrupted"
    assert printed == f"{line}\n"
    assert code == (0 if trains else 128 + number)


def test_other_programs_handle_their_own_signals(tmp_path):
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("import attngan_tf\n")
    (package / "program.py").write_text(
        """
import sys
try:
    import tensorflow
finally:
    print("mine", file=sys.stderr)
    sys.exit(5)
"""
    )
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    code, printed = interrupt_import(
        signal.SIGINT, "-m", "theirs.program", environ=path
    )
    assert code == 5
    assert printed.splitlines()[-1] == "mine"


# As C code does that drops an exception and raises another.
LOST = """
import contextlib, os, signal, sys
from attngan_tf.cli import command

def main(values, arguments):
    with contextlib.suppress(BaseException):
        os.kill(os.getpid(), signal.SIGINT)
    raise AttributeError("no keys")

command.run(lambda values: None, main)
"""


def test_an_error_that_a_signal_causes_is_an_interruption():
    done = subprocess.run(
        [sys.executable, "-c", LOST],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "interrupted\n"
    assert done.returncode == 128 + signal.SIGINT
