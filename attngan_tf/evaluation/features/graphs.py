"""Feature extractors in SavedModels, and in frozen graphs of TensorFlow 1."""

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

SIGNATURE = "serving_default"  # of a SavedModel
# Nodes of the graph of 2015.
FEED = "ExpandDims"
POOL = "pool_3"
LOGITS = "softmax/logits/MatMul"


def saved_model(path: str) -> FeatureExtractor:
    """A SavedModel whose signature serving_default extracts features.

    One input float32 [B, size, size, 3] in [-1, 1] (299 if the size is not
    fixed); outputs pooled [B, C], probabilities [B, K], or both.

    Raises:
      UserError: the folder is not such a model.
    """
    try:
        model = tf.saved_model.load(path)
    except Exception as error:  # a damaged file can raise anything
        raise UserError(
            f"a feature extractor must be a complete SavedModel; {path} could "
            f"not be loaded: {one_line(error)}"
        ) from error
    if SIGNATURE not in model.signatures:
        raise UserError(
            f"a SavedModel must have the signature {SIGNATURE}; {path} has "
            f"{', '.join(model.signatures) or 'none'}"
        )
    signature = model.signatures[SIGNATURE]
    argument, size = _image_input(signature, path)
    names = sorted(signature.structured_outputs)
    if not set(names) & set(OUTPUTS):
        raise UserError(
            f"{SIGNATURE} must return pooled, probabilities or both; that of "
            f"{path} returns {', '.join(names)}; export it with these names"
        )

    def network(images):
        # A signature alone does not keep the model's variables alive.
        extract = model.signatures[SIGNATURE]
        return extract(**{argument: resized(images, size)})

    folder = os.path.basename(os.path.abspath(path))
    return FeatureExtractor(
        name=f"SavedModel {folder}",
        sha256=digest(path),
        size=size,
        network=network,
    )


def _image_input(signature, path: str) -> tuple[str, int]:
    """The name of the input, and the side of its images."""
    _, inputs = signature.structured_input_signature
    for name, spec in inputs.items():
        shape = spec.shape
        if len(inputs) == 1 and spec.dtype == tf.float32 and shape.rank == 4:
            B, H, W, channels = shape
            if B is None and H == W and channels == 3:
                return name, H or SIZE
    found = [f"{k}: {x.dtype.name} {x.shape}" for k, x in inputs.items()]
    raise UserError(
        f"{SIGNATURE} must have one input of square images, float32 [None, "
        f"size, size, 3]; that of {path} has {'; '.join(found) or 'none'}"
    )


def frozen_graph(path: str) -> FeatureExtractor:
    """A frozen graph of TensorFlow 1 with the names of Inception of 2015.

    Published Inception scores and FIDs are those of
    classify_image_graph_def.pb (inception-2015-12-05.tgz), used as follows:

    - The graph begins with decoding a JPEG file, for one image. Images in
      [0, 255], of any number and size, are fed into ExpandDims:0 after it. The
      graph resizes them to 299 x 299 (TensorFlow 1's bilinear: no half-pixel
      centres, no antialiasing), subtracts 128 and divides by 128.
    - pool_3:0, [B, 1, 1, 2048], is the last average pool. The nodes after it
      have a batch size of 1 in their constants and are not used.
    - The probabilities are softmax(pool_3 W), [B, 1008], where W is the second
      input of softmax/logits/MatMul: without the bias, which the graph adds.
      1,000 of the 1,008 classes are ImageNet's.

    Raises:
      UserError: the file is not such a graph.
    """
    graph = _read(path)
    nodes = {node.name: node for node in graph.node}
    for name in (FEED, POOL, LOGITS):
        if name not in nodes:
            raise UserError(
                "a frozen graph must have the names of Inception of 2015; "
                f"{path} has no node {name}; the first of its {len(nodes)} "
                f"nodes: {', '.join(list(nodes)[:8]) or 'none'}"
            )
    function = _function(graph, path)

    def network(images):
        pooled, probabilities = function((images + 1.0) * 127.5)
        return {"pooled": pooled, "probabilities": probabilities}

    return FeatureExtractor(
        name=f"frozen graph {os.path.basename(path)}",
        sha256=digest(path),
        size=SIZE,
        network=network,
    )


def _read(path: str) -> tf.compat.v1.GraphDef:
    graph = tf.compat.v1.GraphDef()
    try:
        with open(path, "rb") as file:
            graph.ParseFromString(file.read())
    except Exception as error:  # protobuf's DecodeError is not public
        raise UserError(
            f"a .pb file must be a frozen graph (GraphDef); {path} is none: "
            f"{one_line(error)}; for a SavedModel, give its folder"
        ) from None
    for node in list(graph.node):
        if node.op == "BatchNormWithGlobalNormalization":
            _update_batch_norm(graph, node)
    return graph


def _update_batch_norm(graph: tf.compat.v1.GraphDef, node) -> None:
    """Replaces the batch normalization of 2015 with today's operation.

    TensorFlow 2 imports the old operation from an old graph, but does not run
    it in functions ("removed in version 9").
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


def _function(graph: tf.compat.v1.GraphDef, path: str) -> Callable:
    """Pixels [B, H, W, 3] -> pooled [B, C], probabilities [B, K]."""

    def build(pixels):
        pooled, logits = tf.graph_util.import_graph_def(
            graph, {f"{FEED}:0": pixels}, [f"{POOL}:0", LOGITS], name="frozen"
        )
        pooled = tf.reshape(pooled, [-1, pooled.shape[-1]])
        return pooled, tf.nn.softmax(tf.matmul(pooled, logits.inputs[1]))

    try:
        whole = tf.compat.v1.wrap_function(build, [IMAGES])
    except Exception as error:  # a user's graph can raise anything
        raise UserError(
            f"a frozen graph must be one that TensorFlow reads; {path} is "
            f"none: {one_line(error)}"
        ) from error
    # Without pruning, the shapes of unused nodes, with a batch size of 1, are
    # checked as well.
    return whole.prune(whole.inputs, whole.outputs)
