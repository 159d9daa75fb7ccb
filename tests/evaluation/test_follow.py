"""Scoring a run while it is trained."""

import json

import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.evaluation.follow import follow, is_scored
from attngan_tf.runs.workdir import DONE_FILE


class Run:
    """A run's folder with its last two checkpoints."""

    def __init__(self, folder):
        self.folder = folder
        self.manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(x=tf.Variable(0.0)), str(folder / "gan"), 2
        )

    def save(self, step):
        self.manager.save(step)

    def done(self):
        (self.folder / DONE_FILE).write_text("done")


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_each_checkpoint_is_scored_once_until_the_run_is_done(run):
    scored = []

    def score(step):
        scored.append(step)
        if step < 15:
            run.save(step + 5)
        if step == 10:
            run.done()  # while 10 is scored, after 15 is saved

    run.save(5)
    follow(str(run.folder), score, 0.01)
    assert scored == [5, 10, 15]


def test_a_deleted_checkpoint_is_reported(run, capsys):
    for step in (5, 10):
        run.save(step)
    run.done()

    def score(step):
        if step == 5:
            run.save(15)  # 5 is deleted
            raise UserError("no checkpoint '5'")

    follow(str(run.folder), score, 0.01)
    assert "step 5: deleted before it was scored" in capsys.readouterr().out


def test_other_errors_end_it(run):
    run.save(5)

    def score(step):
        raise UserError("no such data")

    with pytest.raises(UserError, match="no such data"):
        follow(str(run.folder), score, 0.01)


SCORED = {
    "stage": "evaluate",
    "step": 5,
    "metrics": "fid,is",
    "encoders": {"step": 4},
    "splits": 10.0,
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        ({"metrics": "fid,kid,is"}, True),  # more than needed
        ({"metrics": "fid"}, False),
        ({"metrics": None}, False),
        ({"stage": "gan"}, False),
        ({"step": 7}, False),
        ({"encoders": {"step": 8}}, False),
        ({"splits": 5.0}, False),
    ],
)
def test_is_scored_compares_step_metrics_and_conditions(
    tmp_path, change, found
):
    wanted = ["is", "fid"], {"encoders": {"step": 4}, "splits": 10}
    assert not is_scored(str(tmp_path), 5, *wanted)  # no file yet
    lines = f'[1]\n{json.dumps(SCORED | change)}\n{{"stage": "eval'
    (tmp_path / "metrics.jsonl").write_text(lines)
    assert is_scored(str(tmp_path), 5, *wanted) == found
