"""SIGKILL at some moments (`python -m tests.tools.kills`: at forty)."""

import shutil

import pytest
import tensorflow as tf

from tests.flags import flags_of
from tests.tools import kills


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(
    tiny_config, tiny_workdir, tmp_path
):
    workdir = tmp_path / "run"
    config = tiny_config(workdir=str(workdir))
    planned = [
        kills.in_a_checkpoint(workdir),
        kills.in_a_report(workdir, 3),
        kills.in_a_checkpoint(workdir, 2),
    ]
    log = tmp_path / "log"
    killed = list(kills.train_killed(planned, flags_of(config), workdir, log))
    assert [kill.moment for kill in killed] == [m.name for m in planned]
    printed = log.read_text()
    assert printed.count("was killed; resuming from what it saved") == 3
    assert "Traceback" not in printed
    for kill in killed:  # the encoders' interval is an epoch, 24 images
        assert kill.lost["damsm"] <= 24 // config.damsm_batch_size
        assert kill.lost["gan"] <= config.checkpoint_interval
    assert kills.differences(tiny_workdir, workdir) == []


def test_differences_are_named(tiny_workdir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_workdir, copy)
    weight = tf.Variable([1.0])
    tf.train.Checkpoint(weight=weight).save(str(copy / "gan" / "ckpt-5"))
    found = kills.differences(tiny_workdir, copy)
    assert "gan: weight/.ATTRIBUTES/VARIABLE_VALUE" in found
    assert all(name.startswith("gan: ") for name in found)
