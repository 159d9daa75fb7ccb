"""Tests of attngan_tf.benchmark."""

import itertools
import json
import os

import pytest
from absl import flags

from attngan_tf import benchmark, config
from attngan_tf.training import damsm_trainer, gan_trainer
from tests.flags import flags_of

ARITHMETIC = [
    "parameters",
    "flops_per_image",
    "flops_left_out",
    "peak_tflops",
    "share_of_peak",
]


def run(fields: config.Config, *arguments: str) -> None:
    """The command, with the flags of a configuration."""
    values = flags.FlagValues()
    benchmark.define_flags(values)
    values(["benchmark", *flags_of(fields), *arguments])
    benchmark.main(values, [])


def test_speed_is_the_mean_rate_and_the_median_time():
    found = benchmark.speed([1.0, 2.0, 6.0], batch_size=6)
    assert found == {"images_per_second": 2.0, "step_ms": 2000.0}


def test_the_first_calls_are_not_timed(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    calls = []

    def call():
        calls.append(None)
        if len(calls) == benchmark.WARM_UP + 1:
            next(clock)  # takes one second longer than the others

    assert benchmark.time_calls(call, 3) == [2, 1, 1]
    assert len(calls) == benchmark.WARM_UP + 3


def test_input_prints_one_line_of_json(tiny_config, tmp_path, capsys):
    workdir = tmp_path / "run"
    run(tiny_config(workdir=str(workdir)), "--mode=input", "--steps=3")
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["images_per_second"] > 0
    assert found["step_ms"] > 0
    expected = {"mode": "input", "compile_s": 0, "batch_size": 4, "steps": 3}
    expected |= {"image_sizes": [8, 16], "dataset": "folder"}
    assert found.items() >= expected.items()
    assert set(found) - set(expected) == {
        *("images_per_second", "step_ms", "peak_rss_mb"),
        *("precision", "replicas", "cpus"),
    }
    assert not os.path.exists(workdir)


def test_generate_prints_one_line_and_writes_a_profile(
    tiny_config, tmp_path, capsys
):
    profile = tmp_path / "new" / "profile"
    fields = tiny_config(workdir=str(tmp_path / "run"))
    run(fields, "--mode=generate", "--steps=3", f"--profile={profile}")
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert list(found)[-5:] == ARITHMETIC
    # Numbers are printed with four digits.
    assert found["share_of_peak"] == pytest.approx(
        found["flops_per_image"]
        * found["images_per_second"]
        / (found["peak_tflops"] * 1e12),
        rel=0.01,
    )
    assert not os.path.exists(tmp_path / "run")
    (file,) = profile.glob("plugins/profile/*/*.xplane.pb")
    # The marks of the calls, and an operation of the networks.
    content = file.read_bytes()
    assert b"step_num" in content
    assert b"Conv2D" in content


@pytest.mark.parametrize(
    ("mode", "trainer", "networks"),
    [
        pytest.param(
            "train",
            gan_trainer,
            {"generator", "discriminators", "text_encoder", "image_encoder"},
            marks=pytest.mark.slow,
        ),
        ("damsm", damsm_trainer, {"text_encoder", "image_encoder"}),
    ],
)
def test_the_benchmark_of_training_takes_real_steps(
    tiny_config, tmp_path, monkeypatch, mode, trainer, networks
):
    name = "gan_step" if mode == "train" else "damsm_step"
    steps, make = [], getattr(trainer, name)

    def recorded(*args):
        steps.append(make(*args))
        return steps[-1]

    monkeypatch.setattr(trainer, name, recorded)
    fields = tiny_config(workdir=str(tmp_path / "run"))
    found = benchmark.benchmark(fields, mode, 2)
    (step,) = steps
    name = "generator_optimizer" if mode == "train" else "optimizer"
    taken = 1 + benchmark.WARM_UP + 2
    assert int(getattr(step, name).iterations) == taken
    # The first step is traced, which takes seconds, not milliseconds.
    assert found["compile_s"] > 3 * found["step_ms"] / 1000
    ratio = found["input_images_per_second"] / found["images_per_second"]
    assert found["input_over_train"] == pytest.approx(ratio)
    count = sum(weight.numpy().size for weight in step.image_encoder.weights)
    assert found["parameters"]["image_encoder"] == count
    assert set(found["parameters"]) == networks
    assert found["flops_left_out"] == ()
    assert found["share_of_peak"] > 0
    assert not os.path.exists(tmp_path / "run")


def test_user_errors_are_reported_before_measuring(tmp_path, monkeypatch):
    def measure(*args):
        raise AssertionError("this must not be called")

    monkeypatch.setattr(benchmark, "benchmark", measure)
    values = flags.FlagValues()
    benchmark.define_flags(values)
    values(["benchmark", "--dataset=demo"])
    with pytest.raises(config.UserError, match="received train"):
        benchmark.main(values, ["train"])
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, "/proc"):  # /proc is not writable
        values(["benchmark", f"--profile={folder}"])
        with pytest.raises(config.UserError, match=f"--profile.*{folder}"):
            benchmark.main(values, [])
