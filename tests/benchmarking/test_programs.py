"""Tests of attngan_tf.benchmarking.programs."""

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.benchmarking import flops, programs


@pytest.fixture
def cpu() -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy("CPU:0")


def count(function, batch_size: int, *shapes, dtype=tf.float32) -> int:
    specs = [tf.TensorSpec([batch_size, *shape], dtype) for shape in shapes]
    traced = tf.function(function).get_concrete_function(*specs)
    return flops.count(traced.graph).flops


@pytest.mark.slow
def test_encoders_are_trained_from_images_with_cached_features(
    tiny_config, tiny_data, cpu
):
    fields = {
        "image_encoder": "inception_v3",
        "image_encoder_size": 75,
        "inception_weights": "none",
    }
    config = tiny_config(**fields, damsm_cached_views=2)
    program = programs.train_damsm(config, cpu, tiny_data)
    assert program.batch_size == config.damsm_batch_size
    (encoder,) = program.networks["image_encoder"]
    backbone = count(encoder.backbone, config.damsm_batch_size, [75, 75, 3])
    found = flops.count(program.graph())
    # Inception-v3 is fixed: forward only. The projections and the text encoder
    # add little.
    assert backbone < found.flops < 1.1 * backbone


def test_generated_images_are_those_of_the_model(
    tiny_config, tiny_data, cpu, monkeypatch
):
    models = []
    fresh = programs.fresh_model

    def recorded(*args):
        models.append(fresh(*args))
        return models[-1]

    monkeypatch.setattr(programs, "fresh_model", recorded)
    config = tiny_config()
    program = programs.generate(config, cpu, tiny_data)
    (model,) = models
    assert model.generator.fused
    images = program.call()
    rows = [tiny_data.test.row(i) for i in range(4)]
    captions = [row["captions"][0].decode() for row in rows]
    expected = model.images(captions, range(4))
    assert images.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(images, expected)


def test_generation_is_counted_for_a_known_batch_size(tiny_config, tiny_data):
    config = tiny_config()
    model = programs.fresh_model(config, tiny_data)
    one, two, three = (
        flops.count(programs.generation_graph(model, n)) for n in (1, 2, 3)
    )
    assert three.flops - two.flops == two.flops - one.flops > 0
    assert three.left_out == ()
    traced = model.from_seeds.get_concrete_function()
    assert flops.count(traced.graph).left_out
