"""Tests of attngan_tf.evaluate, on a tiny model that was really trained."""

import json
import shutil

import numpy as np
import pytest
from absl import flags
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from attngan_tf import evaluate
from attngan_tf.config import Config, UserError
from attngan_tf.evaluate import choose_metrics
from attngan_tf.model import load

TRAIN, TEST = 24, 110  # pictures of birds_folder
SIZE = 16  # of generated pictures


@pytest.fixture(scope="module")
def workdir(tiny_workdir, tmp_path_factory):
    """A run that was made with a relative --data_dir, from elsewhere."""
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    shutil.copytree(tiny_workdir, folder)
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"data_dir": "raw"}))
    return folder


@pytest.fixture
def parsed(workdir, birds_folder):
    """Parses the command's flags, those of where things lie before others."""

    def parse(*more):
        values = flags.FlagValues()
        evaluate.define_flags(values)
        places = (f"--workdir={workdir}", f"--data_dir={birds_folder}")
        values(["evaluate", *places, *more])
        return values

    return parse


def test_command_prints_and_logs_every_score(workdir, parsed, capsys):
    evaluate.main(parsed("--num_images=100", "--step=2"), [])
    with open(workdir / "metrics.jsonl", encoding="utf-8") as file:
        line = json.loads(file.readlines()[-1])
    assert (line["stage"], line["step"]) == ("evaluate", 2)
    names = (
        "r_precision",
        "frechet",
        "diversity_one_caption",
        "diversity_one_caption_smallest",
        "diversity_captions",
    )
    for name in names:
        assert line[f"{name}_n"] >= 100
        assert np.isfinite([line[name], line[f"real_{name}"]]).all()
    assert line["real_frechet_n"] == TRAIN
    assert line["real_r_precision_n"] == 100
    assert line["r_precision_std"] >= 0
    assert line["diversity_one_caption_smallest"] > 0
    assert "small_cnn" in line["backend"]
    assert "16 x 16, seen at 32" in line["backend"]
    assert "100 of the 110 pictures of folder's test" in line["reference"]

    printed = capsys.readouterr().out
    assert f"{line['frechet']:.2f}" in printed
    assert f"{line['real_frechet']:.2f}" in printed
    assert "R-precision among 100, %" in printed
    assert line["backend"] in printed

    events = EventAccumulator(str(workdir / "tensorboard" / "evaluate"))
    events.Reload()
    (event,) = events.Tensors("frechet")
    written = np.frombuffer(event.tensor_proto.tensor_content, np.float32)
    assert event.step == 2
    np.testing.assert_allclose(written, line["frechet"], rtol=1e-6)


def test_steps_have_other_pictures(workdir, model):
    def draw(model):
        return model.generate(["a small red bird"] * 8, range(8))

    np.testing.assert_array_equal(draw(load(str(workdir), "4")), draw(model))
    assert (draw(load(str(workdir), "2")) != draw(model)).any()


def test_a_step_that_is_not_there(parsed):
    assert parsed("--step=3").checkpoint == "3"  # two names of one flag
    with pytest.raises(UserError, match="no checkpoint '3'"):
        evaluate.main(parsed("--step=3"), [])


def test_metrics_that_apply(tiny_config):
    named = ["fid", "r_precision", "diversity"]
    folder = tiny_config()
    assert choose_metrics(None, folder) == named
    drawn = tiny_config(dataset="demo")
    assert choose_metrics(None, drawn) == [*named, "colour"]
    tiny = tiny_config(dataset="demo", num_stages=1)
    assert choose_metrics(None, tiny) == named
    assert choose_metrics(["r_precision"], folder) == ["r_precision"]
    for config in (folder, tiny):
        with pytest.raises(UserError, match="--metrics=colour"):
            choose_metrics(["fid", "colour"], config)


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ("--metrics=is", "fid, r_precision, diversity, colour.*received 'is'"),
        ("--metrics=", "received ''"),
        ("--checkpoint=7", "steps found: 2, 4"),
        ("--workdir=", "received none"),
        ("--data_dir=/nowhere", "--data_dir .* nothing at '/nowhere'"),
    ],
)
def test_mistakes_end_in_one_line(parsed, argument, rule):
    with pytest.raises(UserError, match=rule) as error:
        evaluate.main(parsed(argument), [])
    assert "\n" not in str(error.value)


def test_data_that_moved_is_asked_for(
    workdir, birds_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = Config.load(str(workdir))
    with pytest.raises(UserError, match=r"--data_dir .* nothing at 'raw'"):
        evaluate.open_data(config, None, str(tmp_path))
    other = evaluate.open_data(config, str(birds_folder), "new")
    assert other.name.startswith("new")
    assert len(other.test) == TEST


def test_arguments_are_refused(parsed):
    with pytest.raises(UserError, match="received fid"):
        evaluate.main(parsed(), ["fid"])
