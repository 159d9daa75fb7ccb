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


def config(**options) -> Config:
    return Config(**SMALL | options)


def generator_inputs(network) -> dict[str, np.ndarray]:
    D = network.word_size
    return {
        "word_features": np.ones((2, 3, D), np.float32),
        "sentence_features": np.ones((2, D), np.float32),
        "z": np.ones((2, network.z_size), np.float32),
        "eps": np.ones((2, network.condition_size), np.float32),
        "lengths": np.array([3, 1], np.int32),
    }


@pytest.mark.parametrize(
    ("field", "value", "attribute"),
    [
        ("base_size", 16, "base_size"),
        ("num_stages", 3, "num_stages"),
        ("gf", 3, "gf"),
        ("condition_size", 9, "condition_size"),
        ("z_size", 8, "z_size"),
        ("feature_size", 14, "word_size"),
        ("residual_blocks", 1, "residual_blocks"),
        ("attention", "none", "attention"),
    ],
)
def test_fields_of_the_generator(field, value, attribute):
    assert getattr(config(), field) != value
    network = build.generator(config(**{field: value}))
    assert getattr(network, attribute) == value
    before = len(network.weights)
    found = network(generator_inputs(network))
    assert len(network.weights) == before  # all made by `build`
    sizes = config(**{field: value}).image_sizes
    assert [k for k in found if k.startswith("images")] == [
        f"images_{S}" for S in sizes
    ]


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


def test_attndcgan_is_one_head_without_blocks_and_one_conditional_d():
    options = {"generator": "attndcgan", "num_stages": 3, "residual_blocks": 2}
    network = build.generator(config(**options))
    assert network.image_sizes == [32]
    assert network.residual_blocks == 0
    assert set(network(generator_inputs(network))) == {
        *("images_32", "attention_16", "attention_32", "mu", "logvar"),
    }
    networks = build.discriminators(config(**options))
    assert list(networks) == [32]
    assert not networks[32].unconditional


def test_fields_of_the_small_image_encoder():
    network = build.image_encoder(config(), None)
    assert network.name == "image_encoder"
    assert network.size == 16
    found = network(np.zeros((2, 24, 24, 3), np.float32))
    assert found["region_features"].shape == (2, 4, 12)
    assert found["image_features"].shape == (2, 12)
    assert network.trunk.trainable_variables


def test_fields_of_the_inception_encoder():
    options = {"image_encoder": "inception_v3", "image_encoder_size": 75}
    options |= {"image_region_layer": "mixed7"}
    network = build.image_encoder(config(**options), None)
    regions = network.trunk.output["regions"]
    assert regions._keras_history.operation.name == "mixed7"
    assert network.trunk.input_shape == (None, 75, 75, 3)
    assert not network.trunk.trainable_variables


@pytest.mark.parametrize("kind", ["small_cnn", "inception_v3"])
def test_precision_reaches_all_but_the_text_encoder(kind):
    options = {"image_encoder": kind, "image_encoder_size": 75}
    chosen = config(precision="mixed_bfloat16", **options)
    networks = [
        build.generator(chosen),
        *build.discriminators(chosen).values(),
        build.image_encoder(chosen, None),
    ]
    for network in networks:
        low = [
            layer.name
            for layer in network._flatten_layers()
            if layer.compute_dtype == "bfloat16" and layer.weights
        ]
        assert low, network.name
        assert {w.dtype for w in network.weights} == {"float32"}
    text_encoder = build.text_encoder(chosen, 11)
    assert {x.compute_dtype for x in text_encoder._flatten_layers()} == {
        "float32"
    }
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    "kind",
    ["text", "generator", "discriminators", "small_cnn", "inception_v3"],
)
def test_checkpoints_find_every_weight_before_the_first_call(tmp_path, kind):
    def networks():
        if kind == "text":
            return {"text": build.text_encoder(config(), 11)}
        if kind in ("small_cnn", "inception_v3"):
            chosen = config(image_encoder=kind, image_encoder_size=75)
            return {kind: build.image_encoder(chosen, None)}
        if kind == "generator":
            return {"generator": build.generator(config())}
        found = build.discriminators(config())
        return {str(size): network for size, network in found.items()}

    first, second = networks(), networks()
    path = tf.train.Checkpoint(**first).save(str(tmp_path / "ckpt"))
    tf.train.Checkpoint(**second).restore(path).assert_consumed()
    for name, network in first.items():
        for old, new in zip(network.weights, second[name].weights, strict=True):
            np.testing.assert_array_equal(new, old)


def test_weights_of_inception_that_are_not_there():
    chosen = config(image_encoder="inception_v3", image_encoder_size=75)
    with pytest.raises(UserError, match="--inception_weights") as error:
        build.image_encoder(chosen, "/no/such.weights.h5")
    assert "'/no/such.weights.h5'" in str(error.value)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".txt"])
def test_weights_of_inception_that_are_something_else(tmp_path, ending):
    path = tmp_path / f"other{ending}"
    path.write_bytes(b"no weights")
    chosen = config(image_encoder="inception_v3", image_encoder_size=75)
    with pytest.raises(UserError, match="--inception_weights") as error:
        build.image_encoder(chosen, str(path))
    assert str(path) in str(error.value)
    assert keras.config.dtype_policy().name == "float32"


# Keras 3.15 reads variables by an __array__ that NumPy 2 deprecates.
@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
def test_weights_of_inception_are_read_from_a_path(tmp_path):
    path = str(tmp_path / "inception.weights.h5")
    inception = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(75, 75, 3)
    )
    inception.save_weights(path)
    chosen = config(image_encoder="inception_v3", image_encoder_size=75)
    trunk = build.image_encoder(chosen, path).trunk
    old, new = (
        [x.kernel.numpy() for x in network.layers if hasattr(x, "kernel")]
        for network in (inception, trunk)
    )
    assert len(old) == len(new) == 94
    for before, after in zip(old, new, strict=True):
        # BN that was never trained divides by the root of 1 + epsilon.
        np.testing.assert_allclose(after, before / 1.001**0.5, rtol=1e-5)
