"""Tests of attngan_tf.benchmark."""

import dataclasses
import itertools
import json
import os

import pytest
from absl import flags

from attngan_tf import benchmark, config
from attngan_tf.models import build


def test_speed_is_of_all_calls_and_of_the_median_one():
    found = benchmark.speed([1.0, 2.0, 6.0], batch_size=6)
    assert found == {"images_per_second": 2.0, "step_ms": 2000.0}


def test_first_calls_do_not_count(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    calls = []

    def call():
        calls.append(None)
        if len(calls) == benchmark.WARM_UP + 1:
            next(clock)  # takes one longer than the others

    assert benchmark.time_calls(call, 3) == [2, 1, 1]
    assert len(calls) == benchmark.WARM_UP + 3


def test_peak_memory_is_the_kernels_figure():
    with open("/proc/self/status", encoding="utf-8") as file:
        (line,) = [row for row in file if row.startswith("VmHWM")]
    kibibytes = float(line.split()[1])
    assert benchmark.peak_rss_mb() == pytest.approx(
        kibibytes * 1024 / 1e6, rel=0.05
    )


def test_input_prints_one_line_of_json(tiny_config, tmp_path, capsys):
    values = flags.FlagValues()
    benchmark.define_flags(values)
    workdir = tmp_path / "run"
    fields = dataclasses.asdict(tiny_config(workdir=str(workdir)))
    named = [f"--{k}={v}" for k, v in fields.items() if v is not None]
    values(["benchmark", *named, "--mode=input", "--steps=3"])
    benchmark.main(values, [])
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["mode"] == "input"
    assert found["compile_s"] == 0
    assert found["images_per_second"] > 0
    assert found["step_ms"] > 0
    assert found["batch_size"] == 4
    assert found["steps"] == 3
    assert found["image_sizes"] == [8, 16]
    assert found["dataset"] == "folder"
    assert not os.path.exists(workdir)


def test_train_takes_real_steps(tiny_config, tmp_path, monkeypatch):
    steps = []
    fresh = benchmark._fresh_step

    def kept(*args):
        steps.append(fresh(*args))
        return steps[-1]

    monkeypatch.setattr(benchmark, "_fresh_step", kept)
    fields = tiny_config(workdir=str(tmp_path / "run"))
    found = benchmark.benchmark(fields, "train", 2)
    (step,) = steps
    taken = 1 + benchmark.WARM_UP + 2
    assert int(step.generator_optimizer.iterations) == taken
    # The first step is traced and compiled: seconds against milliseconds.
    assert found["compile_s"] > 3 * found["step_ms"] / 1000
    ratio = found["input_images_per_second"] / found["images_per_second"]
    assert found["input_over_train"] == pytest.approx(ratio)
    generator = build.generator(fields)
    count = sum(weight.numpy().size for weight in generator.weights)
    assert found["parameters"]["generator"] == count
    assert set(found["parameters"]) == {
        "generator",
        "discriminators",
        "text_encoder",
        "image_encoder",
    }
    assert not os.path.exists(tmp_path / "run")


def test_mistakes():
    values = flags.FlagValues()
    benchmark.define_flags(values)
    with pytest.raises(flags.Error, match=r"generate.*<input\|train>"):
        values(["benchmark", "--mode=generate"])
    with pytest.raises(flags.Error, match="steps"):
        values(["benchmark", "--steps=0"])
    values(["benchmark", "--dataset=demo"])
    with pytest.raises(config.UserError, match="received train"):
        benchmark.main(values, ["train"])
