"""NaN and infinity on purpose: a run stops, and none of them is saved."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf import losses
from attngan_tf.cli.interruption import Interruption
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.errors import UserError
from attngan_tf.runs import checkpoint
from attngan_tf.train import train
from attngan_tf.training import distribution
from attngan_tf.training.damsm_trainer import DamsmTrainer
from attngan_tf.training.gan_trainer import GanTrainer
from attngan_tf.training.loop import NonFiniteLossError

BAD = [math.nan, math.inf, -math.inf]
DAMSM = ("words_image_to_text", "words_text_to_image")
DAMSM += ("sentences_image_to_text", "sentences_text_to_image")
REAL = ("real_unconditional", "real_conditional")
FAKE = ("fake_unconditional", "fake_conditional", "wrong_conditional")


class Faults:
    """Adds what a test wants to terms of the losses; nothing at first."""

    def __init__(self, monkeypatch):
        self.added = {}
        for name in ("damsm_loss", "generator_loss", "discriminator_loss"):
            monkeypatch.setattr(losses, name, self._of_terms(name))
        kl_loss = losses.kl_loss
        self.added["kl_loss"] = tf.Variable(0.0, trainable=False)
        self.exploding = tf.Variable(1.0, trainable=False)

        @tf.custom_gradient
        def explode(x):
            return tf.identity(x), lambda upstream: upstream * self.exploding

        monkeypatch.setattr(
            losses,
            "kl_loss",
            lambda mu, logvar: (
                explode(kl_loss(mu, logvar)) + self.added["kl_loss"]
            ),
        )

    def _of_terms(self, name):
        compute = getattr(losses, name)
        fields = {
            "damsm_loss": DAMSM,
            "generator_loss": ("unconditional", "conditional"),
            "discriminator_loss": REAL + FAKE,
        }[name]
        for field in fields:
            self.added[field] = tf.Variable(0.0, trainable=False)

        def faulty(*args, **kwargs):
            terms = compute(*args, **kwargs)
            given = [f for f in fields if getattr(terms, f) is not None]
            new = {f: getattr(terms, f) + self.added[f] for f in given}
            total = terms.total + sum(self.added[f] for f in given)
            return terms._replace(**new, total=total)

        return faulty


@pytest.fixture
def faults(monkeypatch):
    return Faults(monkeypatch)


def stage_of(kind, config):
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    data = prepared_data.open_data(builder, config)
    strategy = distribution.make_strategy(config)
    return kind(config, strategy, data, Interruption())


def whole(path: str) -> bool:
    """Whether no number of a checkpoint is NaN or infinite."""
    reader = tf.train.load_checkpoint(path)
    values = {
        name: np.asarray(reader.get_tensor(name))
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("best_score")
    }
    return all(
        np.isfinite(value).all()
        for value in values.values()
        if value.dtype.kind == "f"
    )


def assert_stops_at(stage, variable, value, term, step):
    """The next step stops by the term's name, and nothing of it is saved."""
    folder = stage.checkpoints.folder
    before = checkpoint.newest(folder)
    variable.assign(value)
    with pytest.raises(NonFiniteLossError, match=rf"{term}.*step {step}"):
        stage.loop.run(step + 3)
    variable.assign(0.0)
    assert checkpoint.newest(folder) == before
    assert whole(before)
    stage.loop._pending.clear()


def test_each_term_of_the_encoders(tiny_config, tmp_path, faults):
    config = tiny_config(workdir=str(tmp_path), damsm_steps=2)
    stage = stage_of(DamsmTrainer, config)
    stage.run()
    for field in DAMSM:
        for value in BAD:
            assert_stops_at(stage, faults.added[field], value, field, 3)
    stage.loop.run(4)  # and without a fault it goes on
    assert checkpoint.steps(str(tmp_path), "damsm")[-1] == 4


@pytest.mark.slow
def test_each_term_of_the_gan(tiny_config, tmp_path, faults):
    fields = {"gan_mismatched_pairs": True, "checkpoint_interval": 1}
    config = tiny_config(workdir=str(tmp_path), gan_steps=2, **fields)
    train(dataclasses.replace(config, stage="damsm"))
    stage = stage_of(GanTrainer, config)
    stage.run()
    names = {
        "kl_loss": "generator/kl",
        "unconditional": "generator_8/unconditional",
        "conditional": "generator_8/conditional",
    }
    names |= {field: f"damsm/{field}" for field in DAMSM}
    names |= {field: f"discriminator_8/{field}" for field in REAL + FAKE}
    assert names.keys() == faults.added.keys()
    for field, name in names.items():
        of_any_size = name.replace("_8/", r"_\d+/")
        for value in BAD:
            assert_stops_at(stage, faults.added[field], value, of_any_size, 3)
    stage.loop.run(4)
    assert checkpoint.steps(str(tmp_path), "gan")[-1] == 4


@pytest.mark.slow
def test_an_exploding_gradient_is_not_saved(tiny_config, tmp_path, faults):
    """The loss is finite in the step whose gradient breaks the weights."""
    config = tiny_config(workdir=str(tmp_path), gan_steps=1)
    train(dataclasses.replace(config, stage="damsm"))
    stage = stage_of(GanTrainer, config)
    stage.run()
    for factor in (math.nan, math.inf, 1e38):
        faults.exploding.assign(factor)
        with pytest.raises(UserError, match="must be finite") as raised:
            stage.loop.run(2)
        assert "generator" in str(raised.value)
        assert checkpoint.steps(str(tmp_path), "gan") == [1]
        assert whole(checkpoint.find(str(tmp_path), "gan"))


def test_a_batch_of_one_class_has_no_mismatches():
    """Every negative of Eq. 11-13 is masked: no loss, and no gradient."""
    rng = np.random.default_rng(0)
    features = [
        tf.constant(rng.normal(size=shape), tf.float32)
        for shape in ((3, 4, 5), (3, 5), (3, 2, 5), (3, 5))
    ]
    with tf.GradientTape() as tape:
        tape.watch(features)
        terms = losses.damsm_loss(
            *features,
            tf.constant([2, 1, 2]),
            tf.constant([7, 7, 7]),
            **{"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0},
        )
    np.testing.assert_array_equal(terms, np.zeros(5))
    for gradient in tape.gradient(terms.total, features):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


def test_captions_of_padding_only_train(tiny_config, tmp_path):
    """Of words the workdir does not know, a caption has none."""
    config = tiny_config(workdir=str(tmp_path), damsm_steps=1, gan_steps=1)
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    data = prepared_data.read_data(builder)
    vocabulary = Vocabulary(data.vocabulary.words[:1])
    data = data._replace(vocabulary=vocabulary)
    strategy = distribution.make_strategy(config)
    for kind in (DamsmTrainer, GanTrainer):
        kind(config, strategy, data, Interruption()).run()
    for stage in ("damsm", "gan"):
        assert whole(checkpoint.find(str(tmp_path), stage))
