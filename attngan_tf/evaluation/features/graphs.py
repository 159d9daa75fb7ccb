"""Backends of TensorFlow: SavedModels and frozen graphs of TensorFlow 1."""

import os
from collections.abc import Callable

import tensorflow as tf

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features.extractor import (
    IMAGES,
    OUTPUTS,
    SIZE,
    FeatureExtractor,
    digest,
    one_line,
    resized,
)

SIGNATURE = "serving_default"


def saved_model(path: str) -> FeatureExtractor:
    """A SavedModel whose signature serving_default looks at pictures.

    One input float32 [B, size, size, 3] in [-1, 1] (299 where the size is left
    open); outputs pooled [B, C], probabilities [B, K], or both.

    Raises:
      UserError: the folder is not such a model.
    """
    try:
        model = tf.saved_model.load(path)
    except Exception as error:  # a broken file can raise nearly anything
        raise UserError(
            f"a backend must be a whole SavedModel; {path} could not be "
            f"loaded: {one_line(error)}"
        ) from error
    if SIGNATURE not in model.signatures:
        raise UserError(
            f"a SavedModel must have the signature {SIGNATURE}; {path} has "
            f"{', '.join(model.signatures) or 'none'}"
        )
    signature = model.signatures[SIGNATURE]
    argument, size = _picture_input(signature, path)
    names = sorted(signature.structured_outputs)
    if not set(names) & set(OUTPUTS):
        raise UserError(
            f"{SIGNATURE} must give pooled, probabilities or both; that of "
            f"{path} gives {', '.join(names)}; export it with these names"
        )

    def network(images):
        # Of the model: a signature alone does not keep its variables alive.
        look = model.signatures[SIGNATURE]
        return look(**{argument: resized(images, size)})

    folder = os.path.basename(os.path.abspath(path))
    return FeatureExtractor(
        name=f"SavedModel {folder}",
        sha256=digest(path),
        size=size,
        network=network,
    )


def _picture_input(signature, path: str) -> tuple[str, int]:
    """The name of the input, and the side of its pictures."""
    _, inputs = signature.structured_input_signature
    for name, spec in inputs.items():
        shape = spec.shape
        if len(inputs) == 1 and spec.dtype == tf.float32 and shape.rank == 4:
            B, H, W, channels = shape
            if B is None and H == W and channels == 3:
                return name, H or SIZE
    found = [f"{k}: {x.dtype.name} {x.shape}" for k, x in inputs.items()]
    raise UserError(
        f"{SIGNATURE} must have one input of square pictures, float32 [None, "
        f"size, size, 3]; that of {path} has {'; '.join(found) or 'none'}"
    )


def frozen_graph(path: str) -> FeatureExtractor:
    """A frozen graph of TensorFlow 1 with the names of Inception of 2015.

    Published Inception scores and FIDs are those of
    classify_image_graph_def.pb (inception-2015-12-05.tgz). As the programs
    behind them use it:

    - It begins with a JPEG's decoding, for one picture. They feed pictures in
      [0, 255], of any number and size, into ExpandDims:0 behind it. The graph
      resizes them itself to 299 x 299 (TensorFlow 1's bilinear: no half-pixel
      centres, no antialiasing), subtracts 128 and divides by 128.
    - pool_3:0, [B, 1, 1, 2048], is the last average pool. What follows has
      the batch of 1 in its constants, so it is left out.
    - The probabilities are softmax(pool_3 W), [B, 1008], W the second input of
      softmax/logits/MatMul: without the bias, which the graph adds. 1,000 of
      the 1,008 classes are ImageNet's.

    Copies of it that begin behind that (inceptionv1_for_inception_score.pb of
    TF-GAN) take resized pictures x as (x - 128) / 128 at Mul:0, and name the
    unbiased logits logits:0.

    Raises:
      UserError: the file is not such a graph.
    """
    graph = _read(path)
    nodes = {node.name: node for node in graph.node}
    size, feeds = _size(nodes), _feeds(nodes, path)
    function = _function(graph, feeds, _wanted(nodes, path), path)

    def network(images):
        pixels = (images + 1.0) * 127.5
        if feeds == "Mul:0":
            pixels = tf.compat.v1.image.resize_bilinear(pixels, [size, size])
            pixels = (pixels - 128.0) / 128.0
        pooled, probabilities = function(pixels)
        return {"pooled": pooled, "probabilities": probabilities}

    return FeatureExtractor(
        name=f"frozen graph {os.path.basename(path)}",
        sha256=digest(path),
        size=size,
        network=network,
    )


def _read(path: str) -> tf.compat.v1.GraphDef:
    graph = tf.compat.v1.GraphDef()
    try:
        with open(path, "rb") as file:
            graph.ParseFromString(file.read())
    except Exception as error:  # protobuf's DecodeError is no public class
        raise UserError(
            f"a .pb file must be a frozen graph (GraphDef); {path} is none: "
            f"{one_line(error)}; a SavedModel is named by its folder"
        ) from None
    for node in list(graph.node):
        if node.op == "BatchNormWithGlobalNormalization":
            _renew_batch_norm(graph, node)
    return graph


def _renew_batch_norm(graph: tf.compat.v1.GraphDef, node) -> None:
    """Makes a batch norm of 2015 one of today, the same function.

    TensorFlow 2 imports the old operation from an old graph, but has no
    function run it: "removed in version 9" of graphs.
    """
    x, mean, variance, beta, gamma = node.input
    if not node.attr["scale_after_normalization"].b:
        ones = graph.node.add(name=f"{node.name}/ones", op="OnesLike")
        ones.input.append(gamma)
        ones.attr["T"].type = tf.float32.as_datatype_enum
        gamma = ones.name
    epsilon = node.attr["variance_epsilon"].f
    node.op = "FusedBatchNormV3"
    node.ClearField("input")
    node.input.extend([x, gamma, beta, mean, variance])
    node.ClearField("attr")
    for kind in ("T", "U"):
        node.attr[kind].type = tf.float32.as_datatype_enum
    node.attr["epsilon"].f = epsilon
    node.attr["is_training"].b = False


def _size(nodes: dict) -> int:
    """The side that the graph's own resizing makes."""
    if "ResizeBilinear/size" not in nodes:
        return SIZE
    value = nodes["ResizeBilinear/size"].attr["value"].tensor
    return int(tf.make_ndarray(value)[0])


def _feeds(nodes: dict, path: str) -> str:
    for name in ("ExpandDims", "Mul"):
        if name in nodes:
            return f"{name}:0"
    raise _unknown(nodes, path, "ExpandDims or Mul")


def _wanted(nodes: dict, path: str) -> list[str]:
    """What of the graph gives pooled features and logits."""
    if "pool_3" not in nodes:
        raise _unknown(nodes, path, "pool_3")
    if "softmax/logits/MatMul" in nodes:
        return ["pool_3:0", "softmax/logits/MatMul"]
    if "logits" in nodes:
        return ["pool_3:0", "logits:0"]
    raise _unknown(nodes, path, "softmax/logits/MatMul or logits")


def _unknown(nodes: dict, path: str, missing: str) -> UserError:
    names = list(nodes)
    return UserError(
        "a frozen graph must have the names of Inception of 2015; "
        f"{path} has no node {missing}; its {len(names)} nodes begin with "
        f"{', '.join(names[:4]) or 'none'} and end with "
        f"{', '.join(names[-4:]) or 'none'}"
    )


def _function(
    graph: tf.compat.v1.GraphDef, feeds: str, wanted: list[str], path: str
) -> Callable:
    """What is fed -> pooled [B, C], probabilities [B, K]."""

    def build(fed):
        pooled, last = tf.graph_util.import_graph_def(
            graph, {feeds: fed}, wanted, name="frozen"
        )
        pooled = tf.reshape(pooled, [-1, pooled.shape[-1]])
        if isinstance(last, tf.Operation):
            last = tf.matmul(pooled, last.inputs[1])
        return pooled, tf.nn.softmax(last)

    try:
        whole = tf.compat.v1.wrap_function(build, [IMAGES])
    except Exception as error:  # a foreign graph can raise nearly anything
        raise UserError(
            f"a frozen graph must be one that TensorFlow reads; {path} is "
            f"none: {one_line(error)}"
        ) from error
    # Shapes of what nobody needs are checked as well, and that allows a batch
    # of 1 only.
    return whole.prune(whole.inputs, whole.outputs)
