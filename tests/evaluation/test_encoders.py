"""What scores say of the encoders they were measured by."""

import dataclasses
import shutil

import pytest

from attngan_tf.encoders import load_encoders
from attngan_tf.evaluation.encoders import encoder_backend, encoders_text


@pytest.fixture(scope="module")
def judge(tiny_workdir):
    return load_encoders(str(tiny_workdir))


def test_encoders_are_the_same_wherever_they_lie(judge, tiny_workdir, tmp_path):
    folder = shutil.copytree(tiny_workdir, tmp_path / "copy")
    text = encoders_text(judge)
    assert encoders_text(load_encoders(str(folder))) == text
    other = load_encoders(str(folder))
    bias = other.caption_encoder.text_encoder.weights[-1]
    bias.assign(bias + 1e-6)
    assert encoders_text(other) != text


@pytest.mark.parametrize(
    "change",
    [
        {"image_encoder_size": 48},
        {"image_encoder_resize": "aligned_corners"},
        {"precision": "mixed_bfloat16"},
    ],
    ids=str,
)
def test_what_changes_features_of_one_trunk_is_in_the_name(judge, change):
    """Features of real pictures are kept by it."""
    other = judge._replace(config=dataclasses.replace(judge.config, **change))
    one, two = (encoder_backend(x, 16) for x in (judge, other))
    assert one.sha256 == two.sha256
    assert one.name != two.name


def test_inceptions_padding_is_in_the_name(judge):
    names = set()
    for padding in ("keras", "torch"):
        config = dataclasses.replace(
            judge.config,
            image_encoder="inception_v3",
            image_encoder_size=75,
            inception_padding=padding,
        )
        names.add(encoder_backend(judge._replace(config=config), 16).name)
    assert len(names) == 2
