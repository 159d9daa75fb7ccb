"""Tests of attngan_tf.evaluate, on a tiny model that was really trained."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from attngan_tf import evaluate
from attngan_tf.config import Config, UserError
from attngan_tf.data import catalog, demo
from attngan_tf.data.demo_drawing import draw_bird
from attngan_tf.data.views import centre_views
from attngan_tf.evaluate import Evaluation, choose_metrics
from attngan_tf.model import load
from attngan_tf.sampling import to_uint8
from attngan_tf.training import assembly
from attngan_tf.training.evaluation import Drawn

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


@pytest.fixture(scope="module")
def model(workdir):
    return load(str(workdir))


@pytest.fixture(scope="module")
def data(model, birds_folder):
    return evaluate.open_data(model.config, str(birds_folder), None)


@pytest.fixture
def found(model, data):
    return Evaluation(model=model, data=data, split="test", num_images=TEST)


class Copier:
    """Answers with given pictures, by seed, instead of drawing any."""

    last_images = "images"

    def __init__(self, images):
        self.images = images
        self.captions = {}  # by seed

    def outputs(self, captions, seeds, names):
        assert names == ["images"]
        self.captions |= dict(zip(seeds, captions, strict=True))
        return {"images": self.images[list(seeds)]}

    def pictures(self, captions, seeds):
        self.captions |= dict(zip(seeds, captions, strict=True))
        return self.images[list(seeds)]


def real_images(records, places=None):
    batches = centre_views(records, (SIZE,), 64, places)
    return np.concatenate([batch[f"images_{SIZE}"] for batch in batches])


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


def test_copies_of_real_pictures_score_as_they_do(found, data, monkeypatch):
    copier = Copier(real_images(data.test, found.held_out.places))
    monkeypatch.setattr(found.model, "sampler", copier)
    (precision,), (frechet,) = found.r_precision(), found.fid()
    assert precision.generated == pytest.approx(precision.real)
    assert frechet.generated.mean < 1e-3 < frechet.real.mean
    np.testing.assert_array_equal(
        found.drawn.images, found.scores.real_images()
    )
    assert list(copier.captions.values()) == found.held_out.first_captions()


def test_real_distance_is_that_of_the_other_split(model, data, monkeypatch):
    found = Evaluation(model=model, data=data, split="train", num_images=TEST)
    copier = Copier(real_images(data.test))
    monkeypatch.setattr(model, "sampler", copier)
    (frechet,) = found.fid()
    assert frechet.generated.n == frechet.real.n == TEST
    assert frechet.generated.mean == pytest.approx(frechet.real.mean, rel=1e-4)
    # Four captions of each train picture, and the fifth of some.
    order = list(copier.captions.values())
    captions = found.held_out.captions
    assert order[:TRAIN] == [lines[0] for lines in captions]
    assert order[TRAIN : 2 * TRAIN] == [lines[1] for lines in captions]
    assert order[4 * TRAIN :] == [lines[4] for lines in captions[:14]]


def test_r_precision_pairs_each_picture_with_its_caption(found, monkeypatch):
    """Pictures whose features are their caption's own find it."""
    scores, held_out = found.scores, found.held_out
    rows = held_out.caption_rows(TEST)
    features = scores.sentences[rows]
    # A caption that two pictures share is a miss for both.
    texts = [lines[0] for lines in held_out.captions]
    alone = [i for i, text in enumerate(texts) if texts.count(text) == 1]
    assert len(alone) > 70
    for pictures, low, high in (
        (features, 100 * len(alone) / (TEST + 1), 100),
        (np.roll(features, 1, axis=0), 0, 10),
    ):
        drawn = Drawn(rows, {"image_features": pictures}, None)
        assert low <= scores.r_precision(drawn).mean <= high
        scores.real_pooled = pictures
        projection = {"image_projection": staticmethod(tf.constant)}
        monkeypatch.setattr(
            scores, "image_encoder", type("Identity", (), projection)
        )
        assert low <= scores.real_r_precision(rows).mean <= high


def test_diversity_of_a_generator_that_draws_one_picture(
    found, data, monkeypatch
):
    grey = np.zeros((TEST, SIZE, SIZE, 3), np.float32)
    monkeypatch.setattr(found.model, "sampler", Copier(grey))
    found.drawn  # noqa: B018
    found.model.sampler.images = to_uint8(grey).numpy()
    rows = found.diversity()
    assert [row.generated.mean for row in rows] == [0, 0, 0]
    assert [row.generated.n for row in rows] == [160, 160, 100]
    real = to_uint8(real_images(data.test)[:100]).numpy() / 255
    i, j = np.triu_indices(100, 1)
    distances = np.sqrt(((real[i] - real[j]) ** 2).mean((1, 2, 3)))
    for row, known in zip(
        rows, (distances.mean(), distances.min(), distances.mean()), strict=True
    ):
        assert row.real.mean == pytest.approx(known)


@pytest.fixture
def demo_data(tmp_path, monkeypatch):
    pictures = {"train": 20, "test": 120}
    monkeypatch.setattr(demo.Demo, "PICTURES", pictures)
    builder = catalog.open_builder("demo", "", str(tmp_path))
    catalog.prepare(builder)
    return assembly.read_data(builder)


def draw(colours):
    """Birds of these colours, reduced to SIZE: uint8."""
    pictures = []
    for index, colour in enumerate(colours):
        bird = demo.Bird(
            colours=dict.fromkeys(demo.PARTS, colour),
            pose=demo.POSES[index % 3],
            left=False,
            size=0.5,
            long_beak=False,
            ground="plain",
        )
        picture = draw_bird(bird, np.random.default_rng(index))
        pictures.append(np.asarray(picture.resize((SIZE, SIZE), Image.BOX)))
    return np.stack(pictures)


def test_colour_asked_for(model, demo_data, monkeypatch):
    found = Evaluation(
        model=model, data=demo_data, split="test", num_images=110
    )
    captions, colours = zip(
        *demo.single_colour_captions(110, seed=0), strict=True
    )
    birds = draw(colours)
    for images, low, high in ((birds, 90, 100), (birds[::-1], 0, 10)):
        copier = Copier(images)
        monkeypatch.setattr(model, "sampler", copier)
        (row,) = found.colour()
        assert low <= row.generated.mean <= high
        assert tuple(copier.captions.values()) == captions
    single = [
        bird
        for bird in demo.birds(demo.SEED, "test", 120)
        if demo.is_single_coloured(bird)
    ]
    assert row.generated.n == 110
    assert row.real.n == len(single) > 10
    assert row.real.mean >= 80


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
