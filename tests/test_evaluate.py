"""Tests of attngan_tf.evaluate, on a tiny model after real training."""

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

import attngan_tf
from attngan_tf import evaluate
from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.runs.checkpoints import Checkpoints
from attngan_tf.runs.scores import Value

TRAIN, TEST = 24, 110  # images of birds_folder


@pytest.fixture(scope="module")
def workdir(tiny_workdir, tmp_path_factory):
    """A run with a relative --data_dir, which exists elsewhere."""
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    shutil.copytree(tiny_workdir, folder)
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"data_dir": "raw"}))
    return folder


def command(*arguments):
    values = flags.FlagValues()
    evaluate.define_flags(values)
    evaluate.main(values, values(["evaluate", *arguments])[1:])


@pytest.fixture(scope="module")
def folders(workdir, birds_folder):
    return f"--workdir={workdir}", f"--data_dir={birds_folder}"


@pytest.fixture
def run(folders):
    """Runs the command with flags after those of the folders."""
    return functools.partial(command, *folders)


@pytest.fixture(scope="module")
def evaluated(workdir, folders):
    """The line of metrics.jsonl and the output of the command."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        command(*folders, "--num_images=100")
    return scored(workdir)[-1], output.getvalue()


def lines_of(workdir) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def scored(workdir) -> list[dict]:
    """The lines that the command logged."""
    return [line for line in lines_of(workdir) if line["stage"] == "evaluate"]


def test_every_score_is_logged_with_its_conditions(evaluated):
    line, _ = evaluated
    assert line["step"] == 4
    for name, n, real_n in (
        ("r_precision", 100, 100),
        ("frechet", 100, TRAIN),
        ("kid", 100, TRAIN),
        ("precision", 100, TRAIN),
        ("recall", 100, TRAIN),
        ("diversity_one_caption", 160, 100),
        ("diversity_captions", 100, 100),
    ):
        assert np.isfinite([line[name], line[f"real_{name}"]]).all()
        assert (line[f"{name}_n"], line[f"real_{name}_n"]) == (n, real_n)
    assert 0 <= line["real_text_to_image_r1"] <= 100
    assert line["candidates"] == 100
    assert line["metrics"] == (
        "fid,kid,precision_recall,r_precision,retrieval,diversity"
    )
    assert line["feature_extractor"]["network"] == "small_cnn"
    assert line["feature_extractor"]["image_size"] == 32
    for name in ("feature_extractor", "encoders"):
        assert line[name]["step"] in (2, 3, 4)
        assert re.fullmatch("[0-9a-f]{64}", line[name]["sha256"])
    assert line["generated"] == {"images": 100, "first_seed": 0}
    assert line["weights"] == {"averaged": True, "step": 4}
    assert line["epoch"] == pytest.approx(4 * 4 / TRAIN)
    assert line["reference"] == {
        "dataset": "folder",
        "split": "test",
        "images": 100,
        "of": TEST,
        "size": 16,
    }


def test_scores_are_printed_and_written_to_tensorboard(evaluated, workdir):
    line, printed = evaluated
    for name in ("frechet", "real_frechet"):
        assert Value(line[name], 100).text() in printed
    assert "R-precision among 100, %" in printed
    assert f"sha256 {line['feature_extractor']['sha256']}" in printed
    assert "note: the FID is biased upwards" in printed
    events = EventAccumulator(str(workdir / "tensorboard" / "evaluate"))
    events.Reload()
    event = events.Tensors("frechet")[0]
    written = np.frombuffer(event.tensor_proto.tensor_content, np.float32)
    assert event.step == 4
    np.testing.assert_allclose(written, line["frechet"], rtol=1e-6)


def test_training_logs_the_same_scores_and_conditions(evaluated, workdir):
    line, _ = evaluated
    lines = lines_of(workdir)
    (trained,) = (x for x in lines if x["stage"] == "gan" and "frechet" in x)
    for name in ("frechet", "r_precision", "r_precision_std"):
        assert trained[name] == pytest.approx(line[name], rel=1e-5)
    for name in ("feature_extractor", "encoders", "weights", "candidates"):
        assert trained[name] == line[name]
    reals = [x for x in lines if x["stage"] == "damsm"]
    reals = [x for x in reals if "real_r_precision" in x]
    (real,) = (x for x in reals if x.get("encoders") == line["encoders"])
    digests = {x["encoders"]["sha256"] for x in reals}
    assert len(digests) == len(reals) > 1
    for x, size in ((trained, 16), (real, 32)):
        assert x["reference"]["images"] == 100
        assert x["reference"]["size"] == size
    assert trained["diversity_one_caption_n"] == 16
    assert not any(name.startswith("real_") for name in trained)
    captions = 6 * 100
    assert real["real_r_precision_n"] == captions


def test_follow_scores_each_checkpoint_once(workdir, run, capsys):
    few = ("--num_images=100", "--metrics=fid", "--follow", "--seed=5")
    before = len(scored(workdir))
    run(*few)
    first, second = scored(workdir)[before:]
    assert (first["step"], second["step"]) == (2, 4)
    assert first["frechet"] != second["frechet"]
    with Image.open(workdir / "scores.png") as image:
        assert image.size > (100, 100)
    run(*few)
    assert len(scored(workdir)) == before + 2
    assert "step 2: scored before" in capsys.readouterr().out


@pytest.mark.slow
def test_replicas_give_the_same_scores(workdir, run, folders):
    few = ["--num_images=101", "--metrics=fid,kid,r_precision", "--seed=9"]
    run(*few)
    more = ["--virtual_devices=2", "--distribution=mirrored"]
    module = [sys.executable, "-m", "attngan_tf.evaluate"]
    arguments = [*module, *folders, *few, *more]
    subprocess.run(arguments, check=True, capture_output=True)
    one, two = scored(workdir)[-2:]
    for name in ("frechet", "real_frechet", "kid", "r_precision"):
        assert two[name] == pytest.approx(one[name], rel=1e-5), name
    assert one["time"] != two["time"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, save):
    layers = [keras.layers.Flatten(), keras.layers.Dense(6, "softmax")]
    path = tmp_path_factory.mktemp("classifier") / "classifier.keras"
    save(keras.Sequential([keras.Input((8, 8, 3)), *layers]), path)
    return path


def test_a_classifier_computes_an_inception_score(workdir, run, classifier):
    few = ("--num_images=100", "--metrics=is", "--splits=5")
    run(*few, f"--backend={classifier}")
    line = scored(workdir)[-1]
    assert 1 <= line["inception_score"] <= 6
    assert line["inception_score_n"] == 100
    assert line["splits"] == 5
    digest = hashlib.sha256(classifier.read_bytes()).hexdigest()
    assert line["feature_extractor"]["sha256"] == digest


def test_other_data_is_named_by_flags(workdir, birds_folder, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(workdir, other)
    fields = json.loads((other / "config.json").read_text())
    fields |= {"dataset": "cub", "data_dir": "", "captions_per_image": 10}
    fields["test_fraction"] = 0.1  # of the run's own data
    (other / "config.json").write_text(json.dumps(fields))
    few = [f"--workdir={other}", "--metrics=retrieval", "--num_images=100"]
    few.append(f"--data_dir={birds_folder}")
    with pytest.raises(UserError, match="--data_dir of --dataset=cub must"):
        command(*few)
    command(*few, "--dataset=folder")
    line = scored(other)[-1]
    assert line["reference"]["dataset"] == "folder"
    assert line["real_image_to_text_r1_n"] == 100
    assert "epoch" not in line  # of the run's own data, which was not opened


def test_scores_without_an_image_encoder(
    workdir, folders, tmp_path, capsys, classifier
):
    """A workdir as `convert` writes it without --image_encoder."""
    other = tmp_path / "run"
    shutil.copytree(workdir, other)
    text_encoder = attngan_tf.load(str(other)).text_encoder
    shutil.rmtree(other / "damsm")
    size = tf.Variable(len(text_encoder.embedding.embeddings.numpy()))
    items = {"text_encoder": text_encoder, "vocabulary_size": size}
    Checkpoints(str(other / "damsm"), items, 1).offer(0, 0)
    few = f"--workdir={other}", folders[1], "--num_images=100"
    backend = f"--backend={classifier}"
    for more in ([], [backend, "--metrics=fid,retrieval"]):
        with pytest.raises(UserError, match="without an image encoder; name"):
            command(*few, *more)
    command(*few, backend)
    printed = capsys.readouterr().out
    assert "not computed: r_precision, retrieval" in printed
    line = scored(other)[-1]
    assert line["metrics"] == "is,fid,kid,precision_recall,diversity"
    assert "encoders" not in line
    command(*few, f"--encoders={workdir}", "--metrics=retrieval")
    assert scored(other)[-1]["encoders"]["step"] > 0


def test_report_writes_a_table_and_curves(workdir, tmp_path, capsys):
    command(f"--report={tmp_path / 'report'}", str(workdir))
    files = capsys.readouterr().out.split()
    assert [os.path.basename(file) for file in files] == [
        "report.md",
        "curves.png",
    ]
    assert "| run |" in (tmp_path / "report/report.md").read_text()


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ("--backend=/nowhere", "--backend=/nowhere: .* found none at"),
        (
            "--encoders=/nowhere",
            "--encoders=/nowhere: .* config.json; found none",
        ),
        ("--workdir=", "received none"),
        ("--num_images=99", "--num_images must be at least 100.*received 99"),
        ("--splits=101 --num_images=100", "received 101 and 100"),
        ("--backend_weights=x.h5", "received 'x.h5' and no --backend"),
        ("--backend=x.h5 --backend_weights=y.h5", "'y.h5' and x.h5"),
        ("fid", "received fid"),
        ("--follow --step=2", "--follow must be used without --checkpoint"),
        ("--report=x", "--report must be used without --workdir"),
    ],
)
def test_user_errors_have_one_line(run, argument, rule):
    with pytest.raises(UserError, match=rule) as error:
        run(*argument.split())
    assert "\n" not in str(error.value)


def test_flags_are_checked_before_there_is_a_checkpoint(workdir, tmp_path):
    early = tmp_path / "early"
    early.mkdir()
    shutil.copy(workdir / "config.json", early)
    with pytest.raises(UserError, match="received 'isc'"):
        command("--follow", "--metrics=isc", f"--workdir={early}")


@pytest.mark.parametrize("known", ["most", "one"])
def test_encoders_of_other_words(run, workdir, tmp_path, capsys, known):
    """Their features of captions with unknown words mean little."""
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    *words, _ = (other / "vocab.txt").read_text().split("\n")
    first = len(words) // 4 if known == "most" else 2
    words[first:] = [f"z{i}" for i in range(len(words) - first)]
    (other / "vocab.txt").write_text("\n".join([*words, ""]))
    flags = f"--encoders={other}", "--metrics=r_precision", "--num_images=100"
    if known == "one":
        with pytest.raises(UserError, match="must know at least 50% of the"):
            run(*flags)
        return
    run(*flags)
    found = re.search("--encoders know (.*)% of", capsys.readouterr().out)
    assert 50 < float(found[1]) < 100


def test_moved_data_needs_its_new_folder(
    workdir, birds_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = Config.load(str(workdir))
    with pytest.raises(UserError, match=r"--data_dir .* nothing at 'raw'"):
        evaluate.open_data(config, None, str(tmp_path))
    other = evaluate.open_data(config, str(birds_folder), "new")
    assert other.name.startswith("new")
    assert len(other.test) == TEST
