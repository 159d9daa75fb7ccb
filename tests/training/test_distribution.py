"""Devices and clusters that do not fit a configuration: errors in one line."""

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


WORKER = '"task": {"type": "worker", "index": 0}'


@pytest.mark.parametrize(
    "given",
    [
        "{}",
        "{",
        '{"cluster": {"worker": "a:1"}}',
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": '
        '{"type": "worker", "index": 1}}',
        f'{{"cluster": {{"worker": ["a", "b:2"]}}, {WORKER}}}',
        f'{{"cluster": {{"ps": ["a:1"]}}, {WORKER}}}',
    ],
)
def test_an_invalid_cluster_is_refused(monkeypatch, given):
    monkeypatch.setenv("TF_CONFIG", given)
    with pytest.raises(UserError, match="TF_CONFIG must describe") as raised:
        distribution.make_strategy(demo(distribution="multi_worker"))
    assert given in str(raised.value)


def test_threads_of_an_operation(monkeypatch):
    tf.zeros([])
    with pytest.raises(UserError, match="intra_op_threads=3 must be set"):
        distribution.make_strategy(demo(intra_op_threads=3))
    threads = []
    monkeypatch.setattr(
        tf.config.threading,
        "set_intra_op_parallelism_threads",
        threads.append,
    )
    distribution.make_strategy(demo(intra_op_threads=3))
    assert threads == [3]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 9}, "--batch_size .* multiple .* 2; received 9"),
        ({"damsm_batch_size": 9}, "--damsm_batch_size .* received 9"),
        (
            {"batch_size": 2, "gan_mismatched_pairs": True},
            "at least 2 for each",
        ),
        ({"jit_compile": True}, r"--jit_compile .* 2 replicas on CPUs"),
    ],
)
def test_a_step_must_fit_the_replicas(fields, message):
    with pytest.raises(UserError, match=message):
        distribution.check_replicas(demo(**fields), 2, has_gpu=False)
    distribution.check_replicas(demo(**fields), 1, has_gpu=False)
    if "jit_compile" in fields:
        distribution.check_replicas(demo(**fields), 2, has_gpu=True)


@pytest.mark.parametrize(("own", "lowest"), [(0, 0), (9, 6)])
def test_workers_resume_from_the_lowest_step(monkeypatch, own, lowest):
    monkeypatch.setattr(distribution, "lowest_step", lambda *_: lowest)
    assert distribution.agreed_step(None, own) == lowest


def test_all_workers_must_have_a_checkpoint(monkeypatch):
    monkeypatch.setattr(distribution, "lowest_step", lambda *_: 0)
    with pytest.raises(UserError, match="step 9, another has none"):
        distribution.agreed_step(None, 9)


@pytest.mark.parametrize(
    ("message", "reported"),
    [
        (
            "{{function_node __wrapped__CollectiveBcastSend_device_/job:worker"
            "/replica:0/task:0/device:CPU:0}} Collective ops is aborted by: "
            "Socket closed\nThe error could be from a previous operation.",
            "(Collective ops is aborted by: Socket closed)",
        ),
        (
            "Graph execution error:\n\nDetected at node CollectiveReduceV2 "
            'defined at (most recent call last):\n  File "<frozen runpy>", '
            'line 198, in _run\n\n  File "train.py", line 9, in <module>\n\n'
            "Connection reset by peer\n\t [[{{node CollectiveReduceV2}}]]",
            "(Connection reset by peer)",
        ),
        ("Graph execution error:", "reached; fix"),
    ],
)
def test_a_lost_worker_is_reported_in_one_line(message, reported):
    strategy = unittest.mock.Mock()
    strategy.cluster_resolver.task_type = "worker"
    with (
        pytest.raises(UserError, match="another worker ended") as raised,
        distribution.lost_workers_reported(strategy),
    ):
        raise tf.errors.UnavailableError(None, None, message)
    assert reported in str(raised.value)
    assert "\n" not in str(raised.value)
