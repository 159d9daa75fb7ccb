"""What scores say of the encoders that measured them."""

import dataclasses
import shutil

import pytest

from attngan_tf.encoders import load_encoders
from attngan_tf.evaluation import provenance


def identity(encoders):
    config, caption_encoder, image_encoder = encoders
    return provenance.encoders(
        config, 4, caption_encoder.text_encoder, image_encoder
    )


@pytest.fixture(scope="module")
def encoders(tiny_workdir):
    return load_encoders(str(tiny_workdir))


def test_encoders_are_identified_by_their_weights(
    encoders, tiny_workdir, tmp_path
):
    folder = shutil.copytree(tiny_workdir, tmp_path / "copy")
    other = load_encoders(str(folder))
    assert identity(other) == identity(encoders)
    bias = other.caption_encoder.text_encoder.weights[-1]
    bias.assign(bias + 1e-6)
    assert identity(other) != identity(encoders)


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
def test_settings_that_change_features_are_named(encoders, change):
    """Features of real images are cached under them."""
    config = dataclasses.replace(encoders.config, **change)
    other = encoders._replace(config=config)
    one, two = (
        provenance.encoder_extractor(x, 16).provenance
        for x in (encoders, other)
    )
    assert one["sha256"] == two["sha256"]
    assert one != two
