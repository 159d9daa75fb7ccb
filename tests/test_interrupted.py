"""Ctrl-C and SIGTERM: training saves, ends well, and goes on."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.cli.interruption import InterruptedTraining
from attngan_tf.cli.startup import NOTHING_LOST
from attngan_tf.evaluation.held_out import GeneratedScores
from attngan_tf.runs import checkpoint
from attngan_tf.runs.checkpoints import Checkpoints
from attngan_tf.train import train
from tests import processes
from tests.flags import flags_of
from tests.kills.runs import differences
from tests.ports import free_ports


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
    """Asks a process to end; what it says, if it ends in time and well."""
    began = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert "trained:" not in stdout
    return stderr


def assert_refused(config, owner) -> None:
    """Who would train in the workdir of another is told whose it is."""
    second = start(config)
    _, stderr = second.communicate(timeout=120)
    assert second.returncode == 1
    assert "Traceback" not in stderr
    said = stderr.splitlines()[-1]
    assert f"must be free; process {owner.pid} on host" in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_steps_are_saved(tiny_config, tmp_path, number):
    config = tiny_config(workdir=str(tmp_path), damsm_steps=100_000)
    process = start(config)
    metrics = tmp_path / "metrics.jsonl"
    wait_for(
        process,
        lambda: metrics.exists() and metrics.read_text().count("\n") > 5,
    )
    assert_refused(config, process)
    said = re.search(r"saved step (\d+) of 100000", end(process, number))
    assert said
    assert checkpoint.steps(str(tmp_path), "damsm")[-1] == int(said.group(1))


@pytest.mark.slow
def test_before_the_first_step_nothing_is_lost(tiny_config, tmp_path):
    config = tiny_config(workdir=str(tmp_path))
    process = start(config)
    lock = tmp_path / ".lock"
    wait_for(process, lambda: lock.exists() and lock.read_text())
    said = end(process, signal.SIGTERM)
    assert "run the same command" in said
    assert lock.read_text() == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_others_can_be_asked(
    tiny_config, tmp_path, number
):
    places = [f"localhost:{port}" for port in free_ports(2)]
    cluster = {"cluster": {"worker": places}}
    cluster["task"] = {"type": "worker", "index": 0}
    config = tiny_config(workdir=str(tmp_path), distribution="multi_worker")
    process = start(config, TF_CONFIG=json.dumps(cluster))
    line = process.stdout.readline()
    assert line.startswith(f"waiting for workers: {places[1]} (")
    assert end(process, number).splitlines()[-1] == NOTHING_LOST
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("during", ["score", "best"])
def test_scores_that_are_cut_off_are_made_up_for(
    tiny_config, tmp_path, monkeypatch, during
):
    """The end is that of a run which nobody interrupted, to the last bit.

    Whether the signal comes before the score is known, or while the best
    checkpoint is written.
    """
    fields = {"damsm_steps": 2, "gan_steps": 4, "evaluation_interval": 3}
    whole = tiny_config(workdir=str(tmp_path / "whole"), **fields)
    halves = dataclasses.replace(whole, workdir=str(tmp_path / "halves"))
    train(whole)
    asked = []

    def interrupts(function):
        def interrupted(self, *arguments):
            if not asked:
                asked.append(True)
                os.kill(os.getpid(), signal.SIGTERM)
            return function(self, *arguments)

        return interrupted

    if during == "score":
        score = interrupts(GeneratedScores.__call__)
        monkeypatch.setattr(GeneratedScores, "__call__", score)
    else:
        write = Checkpoints._write

        def write_best(self, manager, step):
            best = manager is self._best and "gan" in self.folder
            (interrupts(write) if best else write)(self, manager, step)

        monkeypatch.setattr(Checkpoints, "_write", write_best)
    with pytest.raises(InterruptedTraining, match="saved step 3 of 4"):
        train(halves)
    assert checkpoint.steps(halves.workdir, "gan")[-1] == 3
    assert not checkpoint.exists(os.path.join(halves.workdir, "gan"), "best")
    train(halves)
    assert differences(tmp_path / "whole", tmp_path / "halves") == []
    best = tf.train.latest_checkpoint(tmp_path / "halves" / "gan" / "best")
    weights = tf.train.load_checkpoint(best)
    assert np.isfinite(
        weights.get_tensor("best_score/.ATTRIBUTES/VARIABLE_VALUE")
    )
