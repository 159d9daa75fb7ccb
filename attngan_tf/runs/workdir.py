"""A run's folder: its configuration, its lock, and the end of the run."""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from typing import IO

import attngan_tf
from attngan_tf.config import (
    CONFIG_FILE,
    METRICS_FILE,
    VOCABULARY_FILE,
    Config,
)
from attngan_tf.errors import UserError
from attngan_tf.io.disk import writing
from attngan_tf.io.files import replacing
from attngan_tf.runs import checkpoint

DONE_FILE = "DONE"
DATA_FILE = "data.json"  # digests of the data that the run has used
LOCK_FILE = ".lock"  # locked by the training process


def versions() -> dict[str, str]:
    """Versions of the packages that a run's numbers depend on."""
    found = {
        name: importlib.metadata.version(name)
        for name in ("tensorflow", "keras")
    }
    return found | {"attngan_tf": attngan_tf.__version__}


def check_owner(config: Config) -> None:
    """Checks that a workdir is new, or belongs to this configuration.

    Other settings may use the workdir of a run that failed before its first
    report; encoders that it copied from another run are removed. The new
    configuration is written later, by `claim_workdir`.

    Raises:
      UserError: the workdir has another configuration; the fields that differ
        are listed.
    """
    folder = config.workdir
    if not os.path.exists(os.path.join(folder, CONFIG_FILE)):
        return
    earlier = Config.load(folder)
    differing = config.differences(earlier)
    if not differing:
        return
    best = checkpoint.best_encoders(folder)
    if (
        os.path.exists(os.path.join(folder, METRICS_FILE))
        or any(checkpoint.exists(folder, stage) for stage in ("damsm", "gan"))
        or (os.path.exists(best) and not earlier.encoders)
    ):
        raise UserError(
            f"--workdir={folder} belongs to another configuration "
            f"({'; '.join(differing)}); use another workdir, or continue with "
            "its own settings"
        )
    with writing("the workdir", folder):
        shutil.rmtree(best, ignore_errors=True)
        for name in (VOCABULARY_FILE, DATA_FILE, CONFIG_FILE):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(folder, name))


def claim_workdir(config: Config, data: dict[str, dict]) -> None:
    """Writes the configuration, and removes the mark of a finished run.

    It is called once data and encoders are known to fit, so that a user error
    found before leaves the folder free for other settings. If the run began
    with other data, this is printed.

    Args:
      config: the configuration.
      data: digests of the data's names, images and captions, by split.
    """
    path = os.path.join(config.workdir, DATA_FILE)
    with writing("the configuration", config.workdir):
        config.save(config.workdir, versions())
        if data:
            _report_changes(path, data)
            with replacing(path) as file:
                json.dump(data, file, indent=1)
        done = os.path.join(config.workdir, DONE_FILE)
        if os.path.exists(done):
            os.remove(done)


def _report_changes(path: str, data: dict[str, dict]) -> None:
    """Prints what differs from the data that the run used before."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        before = json.load(file)
    changed = [
        f"{name} of {split}"
        for split, digests in data.items()
        for name, digest in digests.items()
        if before.get(split, {}).get(name) != digest
    ]
    if changed:
        print(
            f"the data has changed since this run began: "
            f"{', '.join(changed)}; the run continues with the new data"
        )


def mark_done(workdir: str) -> None:
    """Marks that all stages are trained, for scripts and --follow."""
    path = os.path.join(workdir, DONE_FILE)
    with writing("the end of the run", path), replacing(path) as file:
        file.write("all stages are trained\n")


@contextlib.contextmanager
def locked(workdir: str) -> Iterator[None]:
    """Creates a workdir, and locks it against a second training process.

    The lock ends with the process. The entry of a killed process remains in
    the file; it is reported, and the lock is taken.

    Raises:
      UserError: another process trains there; its pid and host are named.
    """
    path = os.path.join(workdir, LOCK_FILE)
    try:
        os.makedirs(workdir, exist_ok=True)
        file = open(path, "ab+", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise UserError(
            "--workdir must be a writable folder; received "
            f"{workdir}: {error.strerror}"
        ) from None
    with file:
        _lock(file, workdir)
        owner = _owner(file)
        if owner:
            print(
                f"the training of {owner} in {workdir} was killed; resuming "
                "from what it saved",
                file=sys.stderr,
            )
        with writing("the lock", path):
            file.truncate(0)
            me = f"process {os.getpid()} on host {socket.gethostname()}"
            file.write(me.encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _lock(file: IO, workdir: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            "--workdir must not be in use; "
            f"{_owner(file) or 'another process'} trains in {workdir}; wait "
            "for its end, or use another folder"
        ) from None
    except OSError as error:
        raise UserError(
            "--workdir must be on a file system with locks (flock); received "
            f"{workdir}: {error.strerror}; use a folder on another one"
        ) from None


def _owner(file: IO) -> str:
    """The process in a lock file; "" if it ended normally."""
    file.seek(0)
    return file.read().decode(errors="replace").strip()
