"""Ctrl-C and SIGTERM: training saves, ends with code 0, and resumes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from attngan_tf.cli.interruption import InterruptedTraining
from attngan_tf.cli.startup import NOTHING_LOST
from attngan_tf.evaluation.evaluator import Evaluator
from attngan_tf.runs import checkpoint
from attngan_tf.train import train
from tests import processes
from tests.flags import flags_of
from tests.ports import free_ports
from tests.tools.kills import differences


def start(config, **environment) -> subprocess.Popen:
    return processes.start(
        [sys.executable, "-m", "attngan_tf.train", *flags_of(config)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
    )


def wait_for(process, found) -> None:
    deadline = time.monotonic() + 120
    while not found():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end(process, number) -> str:
    """Sends a signal; returns what is printed by a process that ends well."""
    began = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert "trained:" not in stdout
    return stderr


def assert_refused(config, owner) -> None:
    """A second training in a workdir reports which process uses it."""
    second = start(config)
    _, stderr = second.communicate(timeout=120)
    assert second.returncode == 1
    assert "Traceback" not in stderr
    owned = f"must not be in use; process {owner.pid} on host"
    assert owned in stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step(tiny_config, tmp_path, number):
    config = tiny_config(workdir=str(tmp_path), damsm_steps=100_000)
    process = start(config)
    metrics = tmp_path / "metrics.jsonl"
    wait_for(
        process,
        lambda: metrics.exists() and metrics.read_text().count("\n") > 5,
    )
    assert_refused(config, process)
    saved = re.search(r"saved step (\d+) of 100000", end(process, number))
    assert saved
    assert checkpoint.steps(str(tmp_path), "damsm")[-1] == int(saved.group(1))


@pytest.mark.slow
def test_before_the_first_step_nothing_is_lost(tiny_config, tmp_path):
    config = tiny_config(workdir=str(tmp_path))
    process = start(config)
    lock = tmp_path / ".lock"
    wait_for(process, lambda: lock.exists() and lock.read_text())
    assert "run the same command" in end(process, signal.SIGTERM)
    assert lock.read_text() == ""


@pytest.mark.slow
def test_a_worker_that_waits_for_others_can_be_interrupted(
    tiny_config, tmp_path
):
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    cluster = {"cluster": {"worker": addresses}}
    cluster["task"] = {"type": "worker", "index": 0}
    config = tiny_config(workdir=str(tmp_path), distribution="multi_worker")
    process = start(config, TF_CONFIG=json.dumps(cluster))
    line = process.stdout.readline()
    assert line.startswith(f"waiting for workers: {addresses[1]} (")
    assert end(process, signal.SIGINT).splitlines()[-1] == NOTHING_LOST
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_interrupted_evaluation_is_repeated(
    tiny_config, tiny_workdir, tmp_path, monkeypatch
):
    """The run ends with the bits of one that was not interrupted."""
    workdir = tmp_path / "copy"
    shutil.copytree(tiny_workdir, workdir)
    shutil.rmtree(workdir / "gan")
    config = tiny_config(workdir=str(workdir))

    def interrupt(*arguments):
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "score", interrupt)
        with pytest.raises(InterruptedTraining, match="saved step 4 of 4"):
            train(config)
    assert checkpoint.steps(str(workdir), "gan")[-1] == 4
    assert not checkpoint.exists(str(workdir / "gan"), "best")
    train(config)
    assert differences(tiny_workdir, workdir) == []
