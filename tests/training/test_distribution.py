"""Devices that do not fit a configuration are said in one line."""

import json
import os
import socket
import subprocess
import sys
import unittest.mock

import pytest
import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.training import distribution


def demo(**fields) -> Config:
    return Config(dataset="demo", **fields)


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU"
)
def test_float16_needs_a_gpu():
    with pytest.raises(UserError, match="mixed_float16 needs a GPU") as raised:
        distribution.make_strategy(demo(precision="mixed_float16"))
    assert "mixed_bfloat16" in str(raised.value)


def test_several_workers_need_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="TF_CONFIG; received none"):
        distribution.make_strategy(demo(distribution="multi_worker"))


@pytest.mark.parametrize(
    "given",
    [
        "{}",
        "[]",
        "5",
        "null",
        "{",
        '{"cluster": ["a:1"]}',
        '{"cluster": {"worker": "a:1"}}',
        '{"clusters": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}',
        '{"cluster": {"worker": ["a:1"]}, "task": '
        '{"type": "worker", "index": null}}',
        '{"cluster": {"worker": ["a:1"]}, "task": '
        '{"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a", "b:2"]}, "task": '
        '{"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:x"]}, "task": '
        '{"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": '
        '{"type": "workers", "index": 0}}',
        '{"cluster": {"ps": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_cluster_that_is_none(monkeypatch, given):
    monkeypatch.setenv("TF_CONFIG", given)
    with pytest.raises(UserError, match="TF_CONFIG must describe") as raised:
        distribution.make_strategy(demo(distribution="multi_worker"))
    assert given in str(raised.value)


def test_a_port_that_is_taken(monkeypatch):
    """In a process of its own: TensorFlow's context is begun."""
    with socket.create_server(("localhost", 0)) as taken:
        host = f"localhost:{taken.getsockname()[1]}"
        task = {"type": "worker", "index": 0}
        cluster = {"cluster": {"worker": [host, "localhost:1"]}, "task": task}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "attngan_tf.train"),
                *("--dataset=demo", "--distribution=multi_worker"),
            ],
            env=os.environ | {"TF_CONFIG": json.dumps(cluster)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the workers of TF_CONFIG must reach")
    assert "Traceback" not in done.stderr


def test_threads_of_an_operation():
    """Set in a process of its own; refused where TensorFlow runs already."""
    script = (
        "import tensorflow as tf;"
        "from attngan_tf.config import Config;"
        "from attngan_tf.training import distribution;"
        "distribution.make_strategy(Config(dataset='demo', "
        "intra_op_threads=3));"
        "print(tf.config.threading.get_intra_op_parallelism_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["3"]
    tf.zeros([])
    with pytest.raises(UserError, match="intra_op_threads=3 must be set"):
        distribution.make_strategy(demo(intra_op_threads=3))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"batch_size": 9}, "--batch_size .* multiple .* 2; received 9"),
        ({"damsm_batch_size": 9}, "--damsm_batch_size .* received 9"),
        (
            {"batch_size": 2, "gan_mismatched_pairs": True},
            "at least 2 for each",
        ),
    ],
)
def test_batches_must_be_whole_on_every_replica(fields, said):
    with pytest.raises(UserError, match=said):
        distribution.check_replicas(demo(**fields), 2, has_gpu=False)
    distribution.check_replicas(demo(**fields), 1, has_gpu=False)


def test_parts_of_a_cpu_are_not_compiled_for():
    config = demo(jit_compile=True)
    with pytest.raises(UserError, match=r"--jit_compile .* 2 replicas on CPUs"):
        distribution.check_replicas(config, 2, has_gpu=False)
    distribution.check_replicas(config, 1, has_gpu=False)
    distribution.check_replicas(config, 2, has_gpu=True)


@pytest.mark.parametrize(("own", "all_workers", "step"), [(0, 0, 0), (9, 6, 6)])
def test_workers_go_on_from_the_least_step(monkeypatch, own, all_workers, step):
    monkeypatch.setattr(distribution, "least", lambda *_: all_workers)
    assert distribution.agreed_step(None, own) == step


def test_a_worker_without_a_checkpoint_does_not_begin_anew(monkeypatch):
    monkeypatch.setattr(distribution, "least", lambda *_: 0)
    with pytest.raises(UserError, match="step 9, another has none"):
        distribution.agreed_step(None, 9)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "{{function_node __wrapped__CollectiveBcastSend_device_/job:worker"
            "/replica:0/task:0/device:CPU:0}} Collective ops is aborted by: "
            "Socket closed\nThe error could be from a previous operation.",
            "(Collective ops is aborted by: Socket closed)",
        ),
        (
            "Graph execution error:\n\nDetected at node CollectiveReduceV2 "
            "defined at (most recent call last):\n<stack traces unavailable>\n"
            "Connection reset by peer\n\t [[{{node CollectiveReduceV2}}]]",
            "(Connection reset by peer)",
        ),
        (
            "Graph execution error:\n\nDetected at node CollectiveReduceV2 "
            'defined at (most recent call last):\n  File "<frozen runpy>", '
            'line 198, in _run\n\n  File "train.py", line 9, in <module>\n\n'
            "Collective ops is aborted by: Socket closed\nfrom remote target",
            "(Collective ops is aborted by: Socket closed)",
        ),
        ("Graph execution error:", "reached; mend"),
    ],
)
def test_a_lost_worker_is_told_in_words(message, told):
    strategy = unittest.mock.Mock()
    strategy.cluster_resolver.task_type = "worker"
    with (
        pytest.raises(UserError, match="another worker ended") as raised,
        distribution.together(strategy),
    ):
        raise tf.errors.UnavailableError(None, None, message)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
