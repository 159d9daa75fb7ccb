"""Networks from configurations: each field reaches its network."""

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


def generator_outputs(network) -> dict:
    D, ones = network.word_size, np.ones
    given = {
        "word_features": ones((2, 3, D), np.float32),
        "sentence_features": ones((2, D), np.float32),
        "z": ones((2, network.z_size), np.float32),
        "eps": ones((2, network.condition_size), np.float32),
        "lengths": np.array([3, 1], np.int32),
    }
    before = len(network.weights)
    found = network(given)
    assert len(network.weights) == before  # all were made by `build`
    return found


def test_fields_of_the_generator():
    values = {
        "base_size": 16,
        "num_stages": 3,
        "gf": 3,
        "condition_size": 9,
        "z_size": 8,
        "residual_blocks": 1,
        "attention": "none",
    }
    for field, value in values.items():
        assert getattr(config(), field) != value
    network = build.generator(config(feature_size=14, **values))
    assert network.word_size == 14
    for field, value in values.items():
        assert getattr(network, field) == value
    found = generator_outputs(network)
    images = [name for name in found if name.startswith("images")]
    assert images == ["images_16", "images_32", "images_64"]


def test_attndcgan_has_one_head_no_blocks_and_one_conditional_d():
    options = {"generator": "attndcgan", "num_stages": 3, "residual_blocks": 2}
    network = build.generator(config(**options))
    assert network.image_sizes == [32]
    assert network.residual_blocks == 0
    assert set(generator_outputs(network)) == {
        *("images_32", "attention_16", "attention_32", "mu", "logvar"),
    }
    networks = build.discriminators(config(**options))
    assert list(networks) == [32]
    assert not networks[32].unconditional


def test_fields_of_the_text_encoder():
    network = build.text_encoder(config(damsm_dropout=0.25), 11, False)
    assert network.embedding.embeddings.shape == (11, 7)
    assert network.dropout == 0.25
    assert network.lstm.forward_layer.use_cudnn is False
    assert network.lstm.forward_layer.units == 6
    before = len(network.weights)
    found = network(tf.constant([[3, 0]]), tf.constant([1]))
    assert found["sentence_features"].shape == (1, 12)
    assert len(network.weights) == before


def test_fields_of_the_discriminators():
    networks = build.discriminators(config(num_stages=3, df=3))
    assert list(networks) == [8, 16, 32]
    for size, network in networks.items():
        assert network.image_size == size
        assert network.df == 3
        assert network.sentence_size == 12
        assert network.unconditional
        assert network.weights


def test_fields_of_the_small_image_encoder():
    network = build.image_encoder(config(), None)
    assert network.name == "image_encoder"
    assert network.size == 16
    found = network(np.zeros((2, 24, 24, 3), np.float32))
    assert found["region_features"].shape == (2, 4, 12)
    assert found["image_features"].shape == (2, 12)
    assert network.backbone.trainable_variables


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
    "kind", ["small_cnn", pytest.param("inception_v3", marks=pytest.mark.slow)]
)
def test_checkpoints_find_every_weight_before_the_first_call(tmp_path, kind):
    chosen = config(**INCEPTION | {"image_encoder": kind})

    def networks():
        found = build.discriminators(chosen)
        return {
            f"discriminator_{k}": network for k, network in found.items()
        } | {
            "text_encoder": build.text_encoder(chosen, 11),
            "image_encoder": build.image_encoder(chosen, None),
            "generator": build.generator(chosen),
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


@pytest.mark.slow
# Keras 3.15 reads variables by an __array__ that NumPy 2 deprecates.
@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
def test_inception_weights_are_read_from_a_path(tmp_path):
    path = str(tmp_path / "inception.weights.h5")
    inception = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(75, 75, 3)
    )
    inception.save_weights(path)
    backbone = build.image_encoder(config(**INCEPTION), path).backbone
    old, new = (
        [x.kernel.numpy() for x in network.layers if hasattr(x, "kernel")]
        for network in (inception, backbone)
    )
    assert len(old) == len(new) == 94
    for before, after in zip(old, new, strict=True):
        # BN that was never trained divides by the root of 1 + epsilon.
        np.testing.assert_allclose(after, before / 1.001**0.5, rtol=1e-5)
