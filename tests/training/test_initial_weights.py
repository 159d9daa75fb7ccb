"""--init_from: networks, words and checks of a run that starts from another."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf import encoders
from attngan_tf.data.vocabulary import Vocabulary
from attngan_tf.encoders import load_encoders
from attngan_tf.errors import UserError
from attngan_tf.models import build
from attngan_tf.runs import checkpoint
from attngan_tf.train import train
from attngan_tf.training import initial_weights
from attngan_tf.training.gan_trainer import gan_step


@pytest.fixture(scope="module")
def config(tiny_config, tiny_workdir):
    return tiny_config(init_from=str(tiny_workdir))


def test_known_words_keep_their_embeddings(config, tiny_workdir, capsys):
    trained = load_encoders(str(tiny_workdir))
    theirs = trained.caption_encoder.vocabulary.words
    words = Vocabulary(["<end>", "unheard", theirs[7], theirs[3]])
    text = build.text_encoder(config, len(words))
    image = build.image_encoder(config, None)
    before = text.embedding.get_weights()[0]
    initial_weights.start_encoders(config, words, text, image)
    rows = text.embedding.get_weights()[0]
    expected = trained.caption_encoder.text_encoder.embedding.get_weights()[0]
    np.testing.assert_array_equal(rows[[0, 2, 3]], expected[[0, 7, 3]])
    np.testing.assert_array_equal(rows[1], before[1])
    assert "3 of 4 words have the embeddings" in capsys.readouterr().out
    theirs = trained.caption_encoder.text_encoder.lstm.get_weights()
    for ours, other in zip(text.lstm.get_weights(), theirs, strict=True):
        np.testing.assert_array_equal(ours, other)
    for ours, other in zip(
        image.get_weights(), trained.image_encoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize("df", [4, 6])
def test_the_gan_continues_with_new_optimizers(
    tiny_config, config, tiny_workdir, df, capsys
):
    """Discriminators of other sizes are new."""
    config = tiny_config(init_from=str(tiny_workdir), df=df)
    encoders = load_encoders(str(tiny_workdir))
    step = gan_step(
        config, encoders.caption_encoder.text_encoder, encoders.image_encoder
    )
    initial_weights.start_gan(config, step)
    path = checkpoint.find(str(tiny_workdir), "gan")
    other = gan_step(
        tiny_config(),
        encoders.caption_encoder.text_encoder,
        encoders.image_encoder,
    )
    networks = {"generator": other.generator, "average": other.average}
    for size, network in other.discriminators.items():
        networks[f"discriminator_{size}"] = network
    tf.train.Checkpoint(**networks).restore(path).expect_partial()
    pairs = [(step.generator, other.generator), (step.average, other.average)]
    if df == 4:
        pairs += zip(
            step.discriminators.values(),
            other.discriminators.values(),
            strict=True,
        )
    for ours, theirs in pairs:
        for x, y in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(x, y)
    assert int(step.generator_optimizer.iterations) == 0
    new = 0 if df == 4 else 2
    out = capsys.readouterr().out
    assert "starts from step 4 of" in out
    assert f"untrained discriminators: {new}" in out


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gf": 8}, r"--gf must be that of --init_from=.*, 4; received 8"),
        ({"encoders": "there"}, "must be used without --encoders"),
        ({"init_from": "nowhere"}, "a workdir holds a config.json"),
    ],
)
def test_what_does_not_fit_is_refused(tiny_config, config, fields, message):
    fields = {"init_from": config.init_from, **fields}
    with pytest.raises(UserError, match=message):
        initial_weights.check(tiny_config(**fields))


def test_encoders_without_an_image_encoder_are_refused(config, monkeypatch):
    """Before the workdir belongs to the run."""
    monkeypatch.setattr(encoders, "has_image_encoder", lambda workdir: False)
    with pytest.raises(UserError, match="need an image encoder; received"):
        initial_weights.check(config)
    initial_weights.check(dataclasses.replace(config, stage="gan"))


def test_a_run_starts_from_another(config, tiny_workdir, tmp_path, capsys):
    fields = {"workdir": str(tmp_path), "damsm_steps": 1, "gan_steps": 1}
    train(dataclasses.replace(config, **fields))
    out = capsys.readouterr().out
    assert "words have the embeddings of" in out
    assert "the generator starts from step 4 of" in out
    assert checkpoint.steps(str(tmp_path), "gan") == [1]
