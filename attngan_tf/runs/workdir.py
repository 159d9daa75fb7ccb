"""A run's folder: whose it is, who trains in it, and whether it is done."""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import socket
import sys
from collections.abc import Iterator
from typing import IO

import attngan_tf
from attngan_tf.config import CONFIG_FILE, Config
from attngan_tf.errors import UserError
from attngan_tf.io.disk import writing
from attngan_tf.io.files import replacing

DONE_FILE = "DONE"
LOCK_FILE = ".lock"  # held by the process that trains


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    found = {
        name: importlib.metadata.version(name)
        for name in ("tensorflow", "keras")
    }
    return found | {"attngan_tf": attngan_tf.__version__}


def check_owner(config: Config) -> None:
    """Checks that a workdir belongs to this configuration, or to none yet.

    The configuration is not written yet: see `claim_workdir`.

    Raises:
      UserError: the workdir was made with another configuration; the fields
        that differ are listed.
    """
    if os.path.exists(os.path.join(config.workdir, CONFIG_FILE)):
        differing = config.differences(Config.load(config.workdir))
        if differing:
            raise UserError(
                f"--workdir={config.workdir} belongs to another "
                f"configuration ({'; '.join(differing)}); name another "
                "workdir, or go on with its own settings"
            )


def claim_workdir(config: Config) -> None:
    """Writes the configuration, once the data and the encoders fit it.

    A run that ended before, by a mistake in a flag, binds the folder to
    nothing. A run that goes on is not done any more.
    """
    with writing("the configuration", config.workdir):
        config.save(config.workdir, versions())
        done = os.path.join(config.workdir, DONE_FILE)
        if os.path.exists(done):
            os.remove(done)


def mark_done(workdir: str) -> None:
    """Tells those who follow a run that all of it is trained."""
    path = os.path.join(workdir, DONE_FILE)
    with writing("the end of the run", path), replacing(path) as file:
        file.write("all stages are trained\n")


@contextlib.contextmanager
def alone(workdir: str) -> Iterator[None]:
    """Makes a workdir, and keeps a second training out of it.

    The lock ends with the process that holds it, however that ends: what is
    left in the file of one that was killed is told, and taken over.

    Raises:
      UserError: another process trains there; its pid and host are named.
    """
    path = os.path.join(workdir, LOCK_FILE)
    try:
        os.makedirs(workdir, exist_ok=True)
        file = open(path, "ab+", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise UserError(
            "--workdir must be a folder that can be written; received "
            f"{workdir}: {error.strerror}"
        ) from None
    with file:
        _lock(file, workdir)
        owner = _owner(file)
        if owner:
            print(
                f"the training of {owner} in {workdir} was cut off; going on "
                "from what it saved",
                file=sys.stderr,
            )
        me = {"pid": os.getpid(), "host": socket.gethostname()}
        with writing("the lock", path):
            _write(file, json.dumps(me))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                _write(file, "")


def _lock(file: IO, workdir: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"--workdir={workdir} must be free; {_owner(file) or 'another'} "
            "trains there; wait for its end, or name another folder"
        ) from None
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} must be on a file system with locks (flock); "
            f"{error.strerror}; name a folder on another one"
        ) from None


def _owner(file: IO) -> str:
    """Who wrote a lock, in words; "" if it was left in order."""
    file.seek(0)
    text = file.read().decode(errors="replace")
    try:
        owner = json.loads(text)
        return f"process {owner['pid']} on host {owner['host']}"
    except (ValueError, TypeError, KeyError):
        return "an unknown process" if text.strip() else ""


def _write(file: IO, text: str) -> None:
    file.truncate(0)
    file.write(text.encode())
