"""SIGKILL at some moments; `python -m tests.kills` does it forty times."""

import shutil

import pytest
import tensorflow as tf

from tests.flags import flags_of
from tests.kills import moments, runs


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_left_alone(
    tiny_config, tiny_workdir, tmp_path
):
    workdir = tmp_path / "run"
    config = tiny_config(workdir=str(workdir))
    flags = flags_of(config)
    planned = [
        moments.in_a_checkpoint(workdir),
        moments.in_a_summary(workdir, 3),
        moments.in_a_checkpoint(workdir, 2),
    ]
    log = tmp_path / "log"
    kills = list(runs.train_killed(planned, flags, workdir, log))
    assert [kill.moment for kill in kills] == [m.name for m in planned]
    said = log.read_text()
    assert said.count("was cut off; going on from what it saved") == 3
    assert "Traceback" not in said
    for kill in kills:  # the encoders' interval is an epoch, 24 pictures
        lost = runs.lost(kill)
        assert lost["damsm"] <= 24 // config.damsm_batch_size
        assert lost["gan"] <= config.checkpoint_interval
    assert runs.differences(tiny_workdir, workdir) == []


def test_what_differs_is_named(tiny_workdir, tmp_path):
    """So that the test above can fail."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_workdir, copy)
    weight = tf.Variable([1.0])
    tf.train.Checkpoint(weight=weight).save(str(copy / "gan" / "ckpt-5"))
    found = runs.differences(tiny_workdir, copy)
    assert "gan: weight/.ATTRIBUTES/VARIABLE_VALUE" in found
    assert all(name.startswith("gan: ") for name in found)
