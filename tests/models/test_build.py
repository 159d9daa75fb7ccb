"""Networks from configurations: precision, checkpoints, weights in files.

That sizes reach their networks is shown by the comparisons with the reference.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.models import build

SMALL = {
    "dataset": "demo",
    "base_size": 8,
    "num_stages": 2,
    "feature_size": 12,
    "embedding_size": 7,
    "gf": 2,
    "df": 2,
    "z_size": 5,
    "condition_size": 6,
    "image_encoder": "small_cnn",
    "image_encoder_size": 16,
}
INCEPTION = {"image_encoder": "inception_v3", "image_encoder_size": 75}


def config(**options) -> Config:
    return Config(**SMALL | options)


def test_precision_reaches_all_but_the_text_encoder():
    low = config(precision="mixed_bfloat16")
    networks = [
        build.generator(low),
        *build.discriminators(low).values(),
        build.image_encoder(low, None),
    ]
    for network in networks:
        layers = network._flatten_layers()
        dtypes = {x.compute_dtype for x in layers if x.weights}
        assert "bfloat16" in dtypes, network.name
        assert {w.dtype for w in network.weights} == {"float32"}
    text_encoder = build.text_encoder(low, 11)
    assert {x.compute_dtype for x in text_encoder._flatten_layers()} == {
        "float32"
    }
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"discriminator": "projected"},
        pytest.param(INCEPTION, marks=pytest.mark.slow),
    ],
    ids=["small_cnn", "projected", "inception_v3"],
)
def test_checkpoints_find_every_weight_before_the_first_call(tmp_path, fields):
    chosen = config(**fields)

    def networks():
        image_encoder = build.image_encoder(chosen, None)
        discriminators = build.discriminators(chosen, image_encoder)
        return {
            "text_encoder": build.text_encoder(chosen, 11),
            "image_encoder": image_encoder,
            "generator": build.generator(chosen),
            **{f"discriminator_{k}": x for k, x in discriminators.items()},
        }

    first, second = networks(), networks()
    path = tf.train.Checkpoint(**first).save(str(tmp_path / "ckpt"))
    tf.train.Checkpoint(**second).restore(path).assert_consumed()
    for name, network in first.items():
        for old, new in zip(network.weights, second[name].weights, strict=True):
            np.testing.assert_array_equal(new, old)


def test_checkpoint_names_of_earlier_versions(tmp_path):
    """Attributes whose names trained workdirs have in their checkpoints."""
    networks = {
        "discriminator": build.discriminators(config())[8],
        "generator": build.generator(config()),
        "image_encoder": build.image_encoder(config(), None),
        "text_encoder": build.text_encoder(config(), 11),
    }
    path = tf.train.Checkpoint(**networks).save(str(tmp_path / "ckpt"))
    names = {name for name, _ in tf.train.list_variables(path)}
    found = {"/".join(name.split("/")[:2]) for name in names}
    expected = {
        "discriminator": ("trunk", "joint"),
        "generator": ("augmentation", "first", "context_0", "stage_0"),
        "image_encoder": ("trunk", "region_projection", "image_projection"),
        "text_encoder": ("embedding", "lstm"),
    }
    expected["discriminator"] += ("conditional_head", "unconditional_head")
    expected["generator"] += ("head_images_8", "head_images_16")
    assert found - {"_CHECKPOINTABLE_OBJECT_GRAPH"} == {
        f"{network}/{name}"
        for network, attributes in expected.items()
        for name in attributes
    } | {"save_counter/.ATTRIBUTES"}


@pytest.mark.parametrize("ending", [None, ".weights.h5"])
def test_inception_weights_that_cannot_be_read(tmp_path, ending):
    path = tmp_path / f"other{ending}"
    if ending:
        path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="--inception_weights") as error:
        build.image_encoder(config(**INCEPTION), str(path))
    assert str(path) in str(error.value)
    assert keras.config.dtype_policy().name == "float32"
