"""The training loop with a step that is no model's."""

import json
import math
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.cli.interruption import InterruptedTraining, Interruption
from attngan_tf.errors import UserError
from attngan_tf.runs.checkpoints import Checkpoints
from attngan_tf.training.log import Log
from attngan_tf.training.loop import Loop, NonFiniteLossError


class Numbers:
    """Batches 1, 2, 3, ...: each is the number of its step."""

    batch_size = 4

    def batches(self, first_step, part):
        del part
        return tf.data.Dataset.range(first_step + 1, 100)


@pytest.fixture
def network():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.layers[0].set_weights([np.ones((1, 1)), np.zeros(1)])
    return network


@pytest.fixture
def make(network, tmp_path):
    """Makes a loop whose step adds its number to the network's bias."""

    def plain_step(number):
        network.layers[0].bias.assign_add([tf.cast(number, tf.float32)])
        return {"loss": tf.cast(number, tf.float32)}

    def make(step=plain_step, events=(), **fields):
        intervals = {"log_interval": 1, "checkpoint_interval": 1} | fields
        return Loop(
            strategy=tf.distribute.OneDeviceStrategy("CPU:0"),
            interruption=Interruption(),
            step=step,
            data=Numbers(),
            checkpoints=Checkpoints(
                str(tmp_path / "gan"), {"network": network}, 3
            ),
            log=Log(str(tmp_path), "gan"),
            events=events,
            **intervals,
        )

    return make


def reports(tmp_path) -> list[dict]:
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_term_ends_the_training(make, tmp_path, bad):
    def step(number):
        other = tf.where(number == 3, bad, 1.0)
        return {"loss": tf.constant(1.0), "other": other}

    loop = make(step)
    with pytest.raises(NonFiniteLossError, match=r"other was .* at step 3"):
        loop.run(5)
    assert loop.checkpoints.last_step() == 2
    assert [row["step"] for row in reports(tmp_path)] == [1, 2]


def test_weights_that_are_not_finite_are_not_saved(make, network):
    """The loss of a step is finite while its gradient is not."""

    def step(number):
        network.layers[0].bias.assign([tf.where(number == 2, math.nan, 1.0)])
        return {"loss": tf.constant(1.0)}

    loop = make(step)
    with pytest.raises(UserError, match=r"must be finite .*bias.* step 2"):
        loop.run(3)
    assert loop.checkpoints.last_step() == 1


def test_intervals_of_reports_events_and_checkpoints(make, tmp_path):
    events, saved = [], []
    loop = make(
        log_interval=2,
        checkpoint_interval=3,
        events=[(2, events.append)],
        rates=lambda: {"rate": 0.5},
    )
    save = loop.checkpoints.save
    loop.checkpoints.save = lambda *args: (saved.append(args[0]), save(*args))
    loop.run(5)
    assert events == [2, 4, 5]
    assert saved == [3, 5]
    # Also before a checkpoint; each is a mean of the steps since the last.
    found = [(row["step"], row["loss"]) for row in reports(tmp_path)]
    assert found == [(2, 1.5), (3, 3.0), (4, 4.0), (5, 5.0)]
    assert reports(tmp_path)[0]["rate"] == 0.5


def test_a_run_resumes_at_its_last_checkpoint(make, network):
    make(checkpoint_interval=2).run(4)
    network.layers[0].bias.assign([0.0])
    make(checkpoint_interval=2).run(6)
    assert network.layers[0].bias.numpy() == [1 + 2 + 3 + 4 + 5 + 6]


def test_a_signal_saves_the_step(make, network):
    def interrupt(step):
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    events = []
    loop = make(checkpoint_interval=100, events=[(2, interrupt)])
    with (
        loop.interruption,
        pytest.raises(InterruptedTraining, match="saved step 2 of 4"),
    ):
        loop.run(4)
    # The event was cut off, so it is repeated.
    make(checkpoint_interval=100, events=[(2, events.append)]).run(4)
    assert events == [2, 4]
    assert network.layers[0].bias.numpy() == [1 + 2 + 3 + 4]
