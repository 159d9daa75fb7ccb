"""--ema_statistics=measured: BN statistics that fit the averaged weights."""

import numpy as np
import tensorflow as tf

from attngan_tf.encoders import load_encoders
from attngan_tf.models import build
from attngan_tf.runs import checkpoint
from attngan_tf.train import train


def test_measured_statistics_are_those_of_the_averaged_generator(
    tiny_config, tiny_workdir, tmp_path
):
    """They fit its own batches better than those of the last step's weights."""
    config = tiny_config(
        workdir=str(tmp_path),
        encoders=str(tiny_workdir),
        ema_statistics="measured",
        gan_learning_rate=0.02,  # the weights differ much from their average
        gan_steps=30,
        checkpoint_interval=30,
        sample_interval=30,
        evaluation_interval=30,
    )
    train(config)
    average = build.generator(config, "average")
    generator = build.generator(config)
    checkpoint.restore(
        config.workdir, "gan", "last", average=average, generator=generator
    )
    measured = statistics(average)
    copied = statistics(generator)
    captions = load_encoders(str(tiny_workdir)).caption_encoder
    words = captions.vocabulary.words
    rng = np.random.default_rng(0)
    for _ in range(60):
        texts = [" ".join(rng.choice(words[1:], 8)) for _ in range(32)]
        text = dict(captions.encode(tf.constant(texts)))
        del text["token_ids"]
        z = rng.standard_normal([32, config.z_size], np.float32)
        eps = rng.standard_normal([32, config.condition_size], np.float32)
        average({**text, "z": z, "eps": eps}, training=True)
    expected = statistics(average)
    assert distance(measured, expected) < distance(copied, expected) / 2


def statistics(network) -> np.ndarray:
    weights = network.non_trainable_variables
    return np.concatenate([np.ravel(x.numpy()) for x in weights])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(
        np.abs(np.log(np.abs(a) + 0.1) - np.log(np.abs(b) + 0.1)).mean()
    )
