"""Tests of attngan_tf.benchmarking.programs."""

import numpy as np
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
    """Of a picture in a GAN step: the discriminator's update, and G's."""
    network = build.discriminator(config, size)
    top = 8 * config.df
    code = count(network.features, 1, [size, size, 3])
    judged = count(network.unconditional_logits, 1, [4, 4, top])
    judged += count(network.conditional, 1, [4, 4, top], [config.feature_size])
    kernel = network.trainable_variables[0]
    first = 2 * (size // 2) ** 2 * kernel.numpy().size
    # A real and a generated picture: forward, and gradients of maps and of
    # kernels, but of no picture. Then forward, and the picture's gradient.
    return 2 * (3 * (code + judged) - first) + 2 * (code + judged)


def test_a_gan_step_computes_what_its_parts_do(tiny_config):
    config = tiny_config(damsm_lambda=0)
    T, D = config.words_num, config.feature_size
    B = config.batch_size
    generator = build.generator(config)

    def draw(words, sentence, z, eps):
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
    one, two = (count(draw, n, *inputs) for n in (1, 2))
    picture, at_once = two - one, 2 * one - two  # kernels of small maps
    # The text's gradient is not asked for: neither that of its condition nor
    # that of its projected words.
    fixed = 2 * D * 4 * config.condition_size + 2 * T * D * config.gf
    # Two directions; four gates.
    numbers = (config.embedding_size + D // 2) * 4 * D // 2
    # Nor that of the 1x3 that puts a head's columns together: it is fixed.
    fixed += sum(2 * size**2 * 3 * 9 * 3 for size in config.image_sizes)
    expected = 3 * picture - fixed + 2 * T * 2 * numbers
    expected += sum(discriminator_flops(config, n) for n in config.image_sizes)
    found = flops.count(made(programs.train, config).graph())
    assert found == (B * expected + 2 * at_once, ())


def test_encoders_are_trained_from_pictures_where_features_are_kept(
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
    trunk = count(encoder.backbone, config.damsm_batch_size, [75, 75, 3])
    found = flops.count(program.graph())
    # Inception-v3 is fixed: forward only. The projections and the text take
    # little beside it.
    assert trunk < found.flops < 1.1 * trunk


def test_what_is_drawn_is_what_a_sampler_draws(tiny_config, monkeypatch):
    samplers = []
    fresh = programs.fresh_sampler

    def kept(*args):
        samplers.append(fresh(*args))
        return samplers[-1]

    monkeypatch.setattr(programs, "fresh_sampler", kept)
    config = tiny_config()
    program = made(programs.generate, config)
    (sampler,) = samplers
    assert sampler.generator.fused
    images = program.call()
    builder = catalog.open_configured(config)
    test = prepared_data.read_data(builder).test
    captions = [test.row(i)["captions"][0].decode() for i in range(4)]
    expected = sampler.pictures(captions, range(4))
    assert images.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(images, expected)


def test_drawing_is_counted_for_a_known_number_of_captions(tiny_config):
    config = tiny_config()
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    sampler = programs.fresh_sampler(config, prepared_data.read_data(builder))
    one, two, three = (
        flops.count(programs.drawing_graph(sampler, n)) for n in (1, 2, 3)
    )
    assert three.flops - two.flops == two.flops - one.flops > 0
    assert three.left_out == ()
    traced = sampler.from_seeds.get_concrete_function()
    assert flops.count(traced.graph).left_out
