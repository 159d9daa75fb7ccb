"""Whole runs: what they leave, and how they go on."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.summary.summary_iterator import summary_iterator

from attngan_tf.config import UserError
from attngan_tf.train import train
from attngan_tf.training.loop import NonFiniteLossError


def rows(workdir, stage: str, name: str) -> dict[int, float]:
    """A term of every report of a stage, by step."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {
        row["step"]: row[name]
        for row in found
        if row["stage"] == stage and name in row
    }


def test_a_run_leaves_what_the_design_says(tiny_workdir):
    for name in ("config.json", "vocab.txt", "metrics.jsonl", "DONE"):
        assert (tiny_workdir / name).is_file()
    for stage in ("damsm", "gan"):
        folder = tiny_workdir / stage
        assert tf.train.latest_checkpoint(folder)
        assert tf.train.latest_checkpoint(folder / "best")
        assert list((tiny_workdir / "tensorboard" / stage).iterdir())
        folder = tiny_workdir / "tensorboard" / stage
        assert any(
            event.graph_def
            for file in folder.iterdir()
            for event in summary_iterator(str(file))
        )
    grid = Image.open(tiny_workdir / "samples" / "gan_grid_0000004.png")
    assert np.asarray(grid).std() > 10
    assert (tiny_workdir / "samples" / "gan_attention_0000004.png").is_file()
    fields = json.loads((tiny_workdir / "config.json").read_text())
    assert set(fields["versions"]) == {"tensorflow", "keras", "attngan_tf"}


def test_every_term_is_reported(tiny_workdir):
    for size in (8, 16):
        for term in ("real_unconditional", "fake_conditional", "total"):
            name = f"discriminator_{size}/{term}"
            assert sorted(rows(tiny_workdir, "gan", name)) == [1, 2, 3, 4]
    total = rows(tiny_workdir, "gan", "generator/total")
    parts = [
        rows(tiny_workdir, "gan", name)
        for name in (
            "generator/kl",
            "generator_8/total",
            "generator_16/total",
            "damsm/total",
        )
    ]
    for step, value in total.items():
        kl, small, large, damsm = (part[step] for part in parts)
        assert value == pytest.approx(kl + small + large + 5.0 * damsm, 1e-5)
    assert rows(tiny_workdir, "damsm", "real_r_precision")
    assert rows(tiny_workdir, "gan", "r_precision")


@pytest.mark.slow
def test_two_halves_are_one_whole(tiny_config, tmp_path):
    whole, halves = str(tmp_path / "whole"), str(tmp_path / "halves")
    fields = {"damsm_steps": 6, "gan_steps": 6, "ema_warmup": True}
    fields |= {"discriminator_augmentation": True, "sample_interval": 100}
    train(tiny_config(workdir=whole, **fields))
    train(
        tiny_config(
            workdir=halves, **fields | {"damsm_steps": 3} | {"stage": "damsm"}
        )
    )
    train(tiny_config(workdir=halves, **fields | {"gan_steps": 3}))
    train(tiny_config(workdir=halves, **fields))
    for stage, term in (("damsm", "total"), ("gan", "generator/total")):
        one, two = (rows(workdir, stage, term) for workdir in (whole, halves))
        assert len(one) == 6
        assert one == two  # bit for bit


def test_another_configuration_is_refused(tiny_config, tiny_workdir):
    other = tiny_config(workdir=str(tiny_workdir), gf=8, damsm_lambda=1.0)
    with pytest.raises(UserError) as raised:
        train(other)
    said = str(raised.value)
    assert "gf: 4 there, 8 here" in said
    assert "damsm_lambda: 5.0 there, 1.0 here" in said
    assert "\n" not in said


def test_a_changed_vocabulary_is_refused(tiny_workdir, tmp_path):
    import attngan_tf

    copy = tmp_path / "copy"
    shutil.copytree(tiny_workdir, copy)
    words = (copy / "vocab.txt").read_text().splitlines()
    (copy / "vocab.txt").write_text("\n".join([*words, "extra"]) + "\n")
    with pytest.raises(UserError) as raised:
        attngan_tf.load(str(copy))
    assert f"{len(words) + 1} words" in str(raised.value)
    assert f"{len(words)} embeddings" in str(raised.value)


def test_a_non_finite_loss_stops(tiny_config, tmp_path):
    config = tiny_config(
        workdir=str(tmp_path), damsm_steps=40, damsm_learning_rate=1e30
    )
    with pytest.raises(NonFiniteLossError, match=r"at step \d+"):
        train(config)
    path = tf.train.latest_checkpoint(tmp_path / "damsm")
    if path is not None:  # what was saved before is good
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            value = reader.get_tensor(name)
            if isinstance(value, np.ndarray) and value.dtype == np.float32:
                assert np.isfinite(value).all() or "best_score" in name


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved(tiny_config, tmp_path, number):
    config = tiny_config(workdir=str(tmp_path), damsm_steps=100_000)
    flags = [
        f"--{name}={value}"
        for name, value in vars(config).items()
        if value is not None
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "attngan_tf.train", *flags],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    metrics = tmp_path / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 5:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    saved = re.search(r"saved step (\d+) of 100000", stderr)
    assert saved
    path = tf.train.latest_checkpoint(tmp_path / "damsm")
    assert path.endswith(f"-{saved.group(1)}")
    assert "Traceback" not in stderr
