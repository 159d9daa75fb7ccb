"""One replica and two give the same numbers."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest

RELEASED = {
    "gan_mismatched_pairs": True,
    "damsm_same_class_mask": True,
    "discriminator_augmentation": True,
}
JOINT_EMBEDDING = {"text_training": "joint_embedding", "damsm_lambda": 0.0}
TUNED = {"damsm_stages": "all", "finetune_damsm": True}


def start(tiny_config, folder, environment=None, **fields):
    """Starts a run in a process of its own."""
    config = tiny_config(
        workdir=str(folder),
        damsm_steps=5,
        gan_steps=5,
        sample_interval=100,
        checkpoint_interval=100,
        evaluation_interval=100,
        # At 2e-3, two dozen pictures do not train: losses jump up and down,
        # and make 1e-2 of a difference of 3e-7 in four steps (BUILD_NOTES.md).
        damsm_learning_rate=2e-4,
        **fields,
    )
    flags = [
        f"--{name}={value}"
        for name, value in vars(config).items()
        if value is not None
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "attngan_tf.train", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | (environment or {}),
        text=True,
    )


def reports(process, folder) -> list[dict[str, float]]:
    """Every report of the losses of a run that has ended well."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-4000:]
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [row for row in found if "images_per_second" in row]


def losses(tiny_config, folder, **fields) -> list[dict[str, float]]:
    return reports(start(tiny_config, folder, **fields), folder)


def assert_equal(one, two):
    assert len(one) == len(two) == 10
    for row, other in zip(one, two, strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            if name not in ("stage", "time", "images_per_second"):
                assert other[name] == pytest.approx(value, rel=1e-4, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [{}, RELEASED, JOINT_EMBEDDING, TUNED],
    ids=["paper", "released", "joint embedding", "tuned"],
)
def test_two_replicas_compute_what_one_does(tiny_config, tmp_path, given):
    fields = dict(given)
    whole = tmp_path / "one"
    one = losses(tiny_config, whole, **fields)
    fields |= {"distribution": "mirrored", "virtual_devices": 2}
    # The GAN on the same encoders: Adam's first steps make much of rounding,
    # and five of the encoders' come before the first of the GAN.
    two = [
        *losses(tiny_config, tmp_path / "damsm", stage="damsm", **fields),
        *losses(tiny_config, tmp_path / "gan", encoders=str(whole), **fields),
    ]
    assert_equal(one, two)


# Adam hides a gradient of the wrong size; plain descent does not.
ONE_UPDATE = """
import keras
import tensorflow as tf
from attngan_tf.config import Config
from attngan_tf.training import distribution
config = Config(dataset="demo", distribution="mirrored", virtual_devices=2)
strategy = distribution.make_strategy(config)
with strategy.scope():
    weight = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build([weight])
@tf.function
def update():
    gradient = tf.cast(distribution.replica_id() + 1, tf.float32)[None]
    distribution.apply_gradients(optimizer, [gradient], [weight])
strategy.run(update)
print([float(v[0]) for v in weight.value.values])
"""


@pytest.mark.slow
def test_an_update_is_by_the_sum_of_gradients():
    result = subprocess.run(
        [sys.executable, "-c", ONE_UPDATE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "[-3.0, -3.0]", result.stderr[-2000:]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.mark.slow
def test_two_workers_compute_what_one_does(tiny_config, tmp_path):
    alone = losses(tiny_config, tmp_path / "alone")
    workers = [f"localhost:{port}" for port in free_ports(2)]
    folder = tmp_path / "workers"
    processes = [
        start(
            tiny_config,
            folder,
            {
                "TF_CONFIG": json.dumps(
                    {
                        "cluster": {"worker": workers},
                        "task": {"type": "worker", "index": index},
                    }
                )
            },
            distribution="multi_worker",
        )
        for index in range(2)
    ]
    second = reports(processes[1], folder / "worker_1")
    first = reports(processes[0], folder)
    assert_equal(alone, first)
    assert_equal(first, second)
