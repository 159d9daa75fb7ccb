"""Tests of attngan_tf.benchmarking.programs."""

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.benchmarking import flops, programs
from attngan_tf.config import Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.models import build
from attngan_tf.training import distribution


def made(make, config: Config) -> programs.Program:
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    strategy = distribution.make_strategy(config)
    return make(config, strategy, prepared_data.read_data(builder))


def count(function, batch_size: int, *shapes, dtype=tf.float32) -> int:
    specs = [tf.TensorSpec([batch_size, *shape], dtype) for shape in shapes]
    traced = tf.function(function).get_concrete_function(*specs)
    return flops.count(traced.graph).flops


def discriminator_flops(config: Config, size: int) -> int:
    """An image's part of a GAN step: the discriminator's update, and G's."""
    network = build.discriminator(config, size)
    top = 8 * config.df
    features = count(network.features, 1, [size, size, 3])
    logits = count(network.unconditional_logits, 1, [4, 4, top])
    logits += count(network.conditional, 1, [4, 4, top], [config.feature_size])
    kernel = network.trainable_variables[0]
    first = 2 * (size // 2) ** 2 * kernel.numpy().size
    # A real and a generated image: forward, and gradients of maps and of
    # kernels, but not of images. Then forward, and the image's gradient.
    return 2 * (3 * (features + logits) - first) + 2 * (features + logits)


@pytest.mark.slow
def test_a_gan_step_has_the_operations_of_its_parts(tiny_config):
    config = tiny_config(damsm_lambda=0)
    T, D = config.words_num, config.feature_size
    B = config.batch_size
    generator = build.generator(config)

    def generate(words, sentence, z, eps):
        lengths = tf.fill([len(words)], T)
        return generator(
            {
                "word_features": words,
                "sentence_features": sentence,
                "lengths": lengths,
                "z": z,
                "eps": eps,
            },
            training=True,
        )

    inputs = [T, D], [D], [config.z_size], [config.condition_size]
    one, two = (count(generate, n, *inputs) for n in (1, 2))
    image, once = two - one, 2 * one - two  # kernels of small maps
    # No gradient of the text is computed: neither that of its condition nor
    # that of its projected words.
    fixed = 2 * D * 4 * config.condition_size + 2 * T * D * config.gf
    # Two directions; four gates.
    numbers = (config.embedding_size + D // 2) * 4 * D // 2
    # Nor that of the fixed 1x3 kernel that adds a head's columns.
    fixed += sum(2 * size**2 * 3 * 9 * 3 for size in config.image_sizes)
    expected = 3 * image - fixed + 2 * T * 2 * numbers
    expected += sum(discriminator_flops(config, n) for n in config.image_sizes)
    found = flops.count(made(programs.train, config).graph())
    assert found == (B * expected + 2 * once, ())


@pytest.mark.slow
def test_encoders_are_trained_from_images_with_cached_features(
    tiny_config,
):
    fields = {
        "image_encoder": "inception_v3",
        "image_encoder_size": 75,
        "inception_weights": "none",
    }
    config = tiny_config(**fields, damsm_cached_views=2)
    program = made(programs.train_damsm, config)
    assert program.batch_size == config.damsm_batch_size
    (encoder,) = program.networks["image_encoder"]
    backbone = count(encoder.backbone, config.damsm_batch_size, [75, 75, 3])
    found = flops.count(program.graph())
    # Inception-v3 is fixed: forward only. The projections and the text encoder
    # add little.
    assert backbone < found.flops < 1.1 * backbone


def test_generated_images_are_those_of_the_model(tiny_config, monkeypatch):
    models = []
    fresh = programs.fresh_model

    def recorded(*args):
        models.append(fresh(*args))
        return models[-1]

    monkeypatch.setattr(programs, "fresh_model", recorded)
    config = tiny_config()
    program = made(programs.generate, config)
    (model,) = models
    assert model.generator.fused
    images = program.call()
    builder = catalog.open_configured(config)
    test = prepared_data.read_data(builder).test
    captions = [test.row(i)["captions"][0].decode() for i in range(4)]
    expected = model.generate(captions, range(4))
    assert images.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(images, expected)


def test_generation_is_counted_for_a_known_batch_size(tiny_config):
    config = tiny_config()
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    model = programs.fresh_model(config, prepared_data.read_data(builder))
    one, two, three = (
        flops.count(programs.generation_graph(model, n)) for n in (1, 2, 3)
    )
    assert three.flops - two.flops == two.flops - one.flops > 0
    assert three.left_out == ()
    traced = model.from_seeds.get_concrete_function()
    assert flops.count(traced.graph).left_out
