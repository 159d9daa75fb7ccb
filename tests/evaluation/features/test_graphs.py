"""SavedModels, and frozen graphs with the names of Inception of 2015."""

import gc
import shutil

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features.extractor import digest, resized
from attngan_tf.evaluation.features.graphs import frozen_graph, saved_model

STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
C, K = 6, 4  # pooled features and classes
SIDE = 8  # to which the graph of 2015 resizes images here


def numbers(*shape, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


class Colours(tf.Module):
    """A classifier by mean colours, with weights in variables."""

    def __init__(self, outputs=("pooled", "probabilities")):
        super().__init__()
        self.outputs = outputs
        self.kernel = tf.Variable(numbers(3, K, seed=1))

    def extract(self, images):
        pooled = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2])[:, :3]
        probabilities = tf.nn.softmax(tf.matmul(pooled, self.kernel))
        both = {"pooled": pooled, "probabilities": probabilities}
        return {name: both.get(name, pooled) for name in self.outputs}

    def save(self, path, shape=(None, 16, 16, 3), dtype=tf.float32):
        spec = tf.TensorSpec(shape, dtype, name="images")
        function = tf.function(self.extract, input_signature=[spec])
        tf.saved_model.save(self, path, {"serving_default": function})


@pytest.mark.parametrize(
    ("scope", "side"), [(tf.init_scope, 16), (STRATEGY.scope, None)]
)
def test_a_saved_model_returns_both(side, scope, tmp_path):
    path = str(tmp_path / "birds")
    model = Colours()
    model.save(path, (None, side, side, 3))
    with scope():  # outside of it, the network is traced again
        found = saved_model(path)
    gc.collect()  # deletes variables without references
    assert found.name == "SavedModel birds"
    assert found.provenance["sha256"] == digest(path)
    assert found.size == (side or 299)
    assert (found.pooled_size, found.classes) == (3, K)
    images = numbers(5, 8, 8, 3)
    means = resized(images, found.size).numpy().mean(axis=(1, 2))
    features = found.features(images)
    np.testing.assert_allclose(features["pooled"], means, atol=1e-5)
    np.testing.assert_allclose(
        features["probabilities"],
        softmax(means @ model.kernel.numpy()),
        atol=1e-5,
    )


def test_a_saved_model_may_return_one_and_others(tmp_path):
    Colours(["probabilities", "logits"]).save(str(tmp_path))
    found = saved_model(str(tmp_path))
    assert (found.pooled_size, found.classes) == (None, K)
    Colours(["pooled"]).save(str(tmp_path))
    found = saved_model(str(tmp_path))
    assert (found.pooled_size, found.classes) == (3, None)


@pytest.mark.parametrize(
    ("outputs", "signature", "text"),
    [
        (["logits", "mixed"], {}, "that of .* returns logits, mixed;"),
        (["pooled"], {"dtype": tf.uint8}, r"images: uint8 \(None, 16"),
        (["pooled"], {"shape": [1, 16, 16, 3]}, r"float32 \(1, 16, 16, 3\)"),
    ],
)
def test_other_signatures_are_rejected(outputs, signature, text, tmp_path):
    Colours(outputs).save(str(tmp_path), **signature)
    with pytest.raises(UserError, match=text) as error:
        saved_model(str(tmp_path))
    assert "\n" not in str(error.value)


def test_incomplete_saved_models_are_rejected(tmp_path):
    path = str(tmp_path / "bare")
    tf.saved_model.save(Colours(), path)
    with pytest.raises(UserError, match=r"signature serving_default; .* none"):
        saved_model(path)
    shutil.rmtree(f"{path}/variables")
    with pytest.raises(UserError, match="could not be loaded"):
        saved_model(path)


def weights() -> dict[str, np.ndarray]:
    """Weights of a 1x1 convolution with BN, and of the classes."""
    return {
        "kernel": numbers(1, 1, 3, C, seed=1),
        "mean": numbers(C, seed=2) / 4,
        "variance": np.abs(numbers(C, seed=3)) + 0.1,
        "beta": numbers(C, seed=4),
        "gamma": numbers(C, seed=5) + 2,
        "classes": numbers(C, K, seed=6),
        "bias": 5 * numbers(K, seed=7),
    }


def graph_of_2015() -> tf.Graph:
    """From a JPEG file to classes, with the names of the published graph.

    The nodes after the pooling have a batch size of 1, as there.
    """
    w = weights()
    with tf.Graph().as_default() as graph:
        x = tf.io.decode_jpeg(tf.constant(b""), channels=3)
        x = tf.expand_dims(tf.cast(x, tf.float32), 0, name="ExpandDims")
        x = tf.raw_ops.ResizeBilinear(images=x, size=[SIDE, SIDE])
        x = tf.nn.conv2d((x - 128.0) / 128.0, w["kernel"], 1, "VALID")
        for name in ("mean", "variance", "beta", "gamma"):
            tf.constant(w[name], name=f"conv/batchnorm/{name}")
        x = tf.identity(x, name="conv/batchnorm")  # see `freeze`
        x = tf.nn.relu(x, name="conv")
        x = tf.nn.avg_pool2d(x, SIDE, 1, "VALID", name="pool_3")
        x = tf.reshape(x, [1, C])
        x = tf.matmul(x, w["classes"], name="softmax/logits/MatMul")
        tf.nn.softmax(x + w["bias"])
    return graph


def freeze(graph: tf.Graph, path, scaled: bool = True) -> str:
    """Writes the graph as in 2015, with the batch normalization of then.

    TensorFlow no longer creates that operation (since version 9 of graphs), so
    it replaces an Identity.
    """
    frozen = graph.as_graph_def(add_shapes=True)  # shapes of one image
    frozen.versions.producer = 8
    for node in frozen.node:
        if node.name == "conv/batchnorm":
            node.op = "BatchNormWithGlobalNormalization"
            names = ("mean", "variance", "beta", "gamma")
            node.input.extend(f"conv/batchnorm/{name}" for name in names)
            node.attr["variance_epsilon"].f = 0.001
            node.attr["scale_after_normalization"].b = scaled
    path.write_bytes(frozen.SerializeToString())
    return str(path)


def resized_2015(images: np.ndarray, size: int) -> np.ndarray:
    """TensorFlow 1's bilinear resize, by its definition: pixel i is at i."""
    for axis in (1, 2):
        n = images.shape[axis]
        positions = np.arange(size) * n / size
        low = positions.astype(int)
        high = np.minimum(low + 1, n - 1)
        shape = [1] * 4
        shape[axis] = size
        alpha = (positions - low).reshape(shape)
        images = (1 - alpha) * images.take(low, axis) + (
            alpha * images.take(high, axis)
        )
    return images


def by_hand(images: np.ndarray, scaled: bool) -> dict[str, np.ndarray]:
    w = {name: value.astype(np.float64) for name, value in weights().items()}
    x = resized_2015((images.astype(np.float64) + 1) * 127.5, SIDE)
    x = (x - 128) / 128 @ w["kernel"][0, 0]
    x = (x - w["mean"]) / np.sqrt(w["variance"] + 0.001)
    gamma = w["gamma"] if scaled else 1.0
    pooled = np.maximum(x * gamma + w["beta"], 0).mean(axis=(1, 2))
    return {
        "pooled": pooled,
        "probabilities": softmax(pooled @ w["classes"]),  # without the bias
    }


@pytest.mark.parametrize("scaled", [True, False])
def test_the_graph_of_2015_equals_numpy(scaled, tmp_path):
    path = tmp_path / "classify_image_graph_def.pb"
    found = frozen_graph(freeze(graph_of_2015(), path, scaled))
    assert found.name == "frozen graph classify_image_graph_def.pb"
    assert found.provenance["sha256"] == digest(path)
    assert (found.pooled_size, found.classes) == (C, K)
    for shape in [(1, 8, 8, 3), (3, 20, 13, 3), (2, 5, 5, 3)]:
        images = numbers(*shape, seed=8)
        features = found.features(images)
        expected = by_hand(images, scaled)
        assert set(features) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(features[name], value, atol=2e-5)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["x"], "no node ExpandDims; the first of its 1 nodes: x"),
        (["ExpandDims"], "no node pool_3"),
        (["ExpandDims", "pool_3"], "no node softmax/logits/MatMul"),
    ],
)
def test_other_graphs_are_rejected(names, text, tmp_path):
    with tf.Graph().as_default() as graph:
        for name in names:
            tf.constant(1.0, name=name)
    path = freeze(graph, tmp_path / "x.pb")
    with pytest.raises(UserError, match=text):
        frozen_graph(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"no graph", r"x.pb is none: .* give its folder"),
        (b"", "the first of its 0 nodes: none"),
    ],
)
def test_files_without_a_graph_are_rejected(content, text, tmp_path):
    (tmp_path / "x.pb").write_bytes(content)
    with pytest.raises(UserError, match=text):
        frozen_graph(str(tmp_path / "x.pb"))


def test_a_graph_that_cannot_run_is_rejected_on_one_line(tmp_path):
    path = tmp_path / "x.pb"
    freeze(graph_of_2015(), path)
    frozen = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    (relu,) = (node for node in frozen.node if node.name == "conv")
    relu.op = "Rectify"
    path.write_bytes(frozen.SerializeToString())
    with pytest.raises(UserError, match=r"x.pb is none: .*Rectify") as error:
        frozen_graph(str(path))
    assert "\n" not in str(error.value)
