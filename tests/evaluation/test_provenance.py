"""What identifies the networks that compute scores."""

import dataclasses

import pytest

from attngan_tf.evaluation import provenance


def test_encoders_are_identified_by_their_weights(tiny_model):
    networks = tiny_model.text_encoder, tiny_model.image_encoder
    before = provenance.encoders(tiny_model.config, 4, *networks)
    assert before == provenance.encoders(tiny_model.config, 4, *networks)
    bias = tiny_model.text_encoder.weights[-1]
    value = bias.numpy()
    bias.assign(value + 1e-6)
    after = provenance.encoders(tiny_model.config, 4, *networks)
    bias.assign(value)
    assert before.pop("sha256") != after.pop("sha256")
    assert before == after
    assert before["step"] == 4


@pytest.mark.parametrize(
    "change",
    [
        {"image_encoder_size": 48},
        {"image_encoder_resize": "aligned_corners"},
        {"precision": "mixed_bfloat16"},
        {
            "image_encoder": "inception_v3",
            "image_encoder_size": 75,
            "inception_padding": "torch",
        },
    ],
    ids=str,
)
def test_settings_that_change_features_are_recorded(tiny_model, change):
    """Features of real images are cached under them."""
    config = dataclasses.replace(tiny_model.config, **change)
    one, two = (provenance.backbone(x, 4) for x in (tiny_model.config, config))
    assert one != two
