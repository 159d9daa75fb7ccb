"""A run that is followed while it trains."""

import json
import threading
import time

import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.evaluation.follow import follow, is_scored
from attngan_tf.runs.workdir import DONE_FILE


class Run:
    """A run's folder, with checkpoints of which the last two are kept."""

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


def test_each_checkpoint_is_scored_once_until_the_end(run):
    scored = []
    run.save(5)

    def train():
        for step in (10, 15):
            while scored[-1:] != [step - 5]:
                time.sleep(0.01)
            run.save(step)
        run.done()

    trainer = threading.Thread(target=train)
    trainer.start()
    follow(str(run.folder), scored.append, 0.02)
    trainer.join()
    assert scored == [5, 10, 15]


def test_one_saved_just_before_done_is_scored(run):
    scored = []

    def score(step):
        scored.append(step)
        if step == 5:
            run.save(10)
            run.done()

    run.save(5)
    follow(str(run.folder), score, 0.01)
    assert scored == [5, 10]


def test_a_checkpoint_that_is_gone_is_told(run, capsys):
    for step in (5, 10):
        run.save(step)
    run.done()

    def score(step):
        if step == 5:
            run.save(15)  # 5 is deleted
            raise UserError("no checkpoint '5'")

    follow(str(run.folder), score, 0.01)
    assert "step 5: deleted before it was scored" in capsys.readouterr().out


def test_other_mistakes_end_it(run):
    run.save(5)

    def score(step):
        raise UserError("no such data")

    with pytest.raises(UserError, match="no such data"):
        follow(str(run.folder), score, 0.01)


SCORED = {
    "stage": "evaluate",
    "step": 5,
    "metrics": "fid,is",
    "backend": "b",
    "splits": 10.0,
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True),
        ({"metrics": "fid,kid,is"}, True),  # more than is asked for
        ({"metrics": "fid"}, False),
        ({"metrics": None}, False),
        ({"stage": "gan"}, False),
        ({"step": 7}, False),
        ({"backend": "other"}, False),
        ({"splits": 5.0}, False),
    ],
)
def test_scores_are_of_a_step_on_the_same_conditions(tmp_path, change, found):
    asked = ["is", "fid"], {"backend": "b", "splits": 10}
    assert not is_scored(str(tmp_path), 5, *asked)  # no file yet
    lines = f'[1]\n{json.dumps(SCORED | change)}\n{{"stage": "eval'
    (tmp_path / "metrics.jsonl").write_text(lines)
    assert is_scored(str(tmp_path), 5, *asked) == found
