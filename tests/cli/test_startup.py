"""TensorFlow's start is hidden in commands, and nothing else is."""

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
    """Without a level of logs."""
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


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (
            ("attngan_tf.benchmark", "--batch_size=abc"),
            "error: --batch_size must be a whole number; received 'abc'\n",
        ),
        (
            ("attngan_tf.train", "--flagfile=/no/such.flags"),
            "error: --flagfile must be a file that can be read; received "
            "/no/such.flags: No such file or directory\n",
        ),
        (
            ("export.saved_model", "--workdir=/no/run", "--export_dir=/x"),
            None,
        ),
    ],
)
def test_a_mistake_is_one_line(command, error):
    done = run(*command)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    if error:
        assert done.stderr == error


def test_devices_are_looked_for_without_a_word():
    """Training opens its devices, and then misses the folder of its data."""
    done = run("attngan_tf.benchmark", "--dataset=folder", "--data_dir=/none")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_all_but_the_start_is_passed_on(capfd):
    def write():
        os.write(2, b"one\n" + START + b"E0000 00:00:1.5   19 other.cc:5] two")
        raise KeyError

    with pytest.raises(KeyError), startup._held_back():
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
def test_only_commands_start_so_and_never_over_the_users_level(
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
def test_onednn_is_used_unless_the_user_said_no(before, after):
    environ = environment() | ({startup.ONEDNN: before} if before else {})
    if not before:
        environ.pop(startup.ONEDNN, None)
    code = f"import attngan_tf, os; print(os.environ[{startup.ONEDNN!r}])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == after


def asked_in_an_import(number, *command, environ=None) -> tuple[int, str]:
    """What a process ends with that is asked as TensorFlow is loaded."""
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
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "trains"),
    [
        (["-um", "attngan_tf.train"], True),
        (["-mattngan_tf.train"], True),
        (["-m", "attngan_tf.generate", "--workdir=attngan_tf.train"], False),
        (["-m", "export.saved_model"], False),
    ],
)
def test_who_interrupts_the_start_reads_one_line(command, trains, number):
    code, said = asked_in_an_import(number, *command)
    assert said == f"{startup.NOTHING_LOST if trains else 'interrupted'}\n"
    assert code == (0 if trains else 128 + number)


def test_other_programs_keep_their_signals(tmp_path):
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
    code, said = asked_in_an_import(
        signal.SIGINT, "-m", "theirs.program", environ=path
    )
    assert code == 5
    assert said.splitlines()[-1] == "mine"


# As C code does that takes an exception for an answer.
LOST = """
import contextlib, os, signal, sys
from attngan_tf.cli import command

def main(values, arguments):
    with contextlib.suppress(BaseException):
        os.kill(os.getpid(), getattr(signal, os.environ["ASKED"]))
    raise AttributeError("no keys")

command.run(lambda values: None, main, goes_on=bool(os.environ["GOES_ON"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("goes_on", ["", "yes"])
def test_what_fails_because_of_a_signal_is_interrupted(number, goes_on):
    asked = {"ASKED": number.name, "GOES_ON": goes_on}
    done = subprocess.run(
        [sys.executable, "-c", LOST],
        env=environment() | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    said = startup.NOTHING_LOST if goes_on else "interrupted"
    assert done.stderr == f"{said}\n"
    assert done.returncode == (0 if goes_on else 128 + number)
