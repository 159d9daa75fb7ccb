"""Devices that do not fit a configuration are said in one line."""

import pytest
import tensorflow as tf

from attngan_tf.config import Config, UserError
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
