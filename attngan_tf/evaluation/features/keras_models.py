"""Feature extractors in Keras: Inception-v3 by name, and models in files."""

import os

import h5py
import keras

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features.extractor import (
    SIZE,
    FeatureExtractor,
    digest,
    one_line,
    resized,
)
from attngan_tf.models.inception import without_batch_norm

# The file with the top layer, as keras.applications downloads it.
IMAGENET = {
    "fname": "inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
    "origin": "https://storage.googleapis.com/tensorflow/keras-applications/"
    "inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
    "file_hash": "9a0d58056eeedaa3f26cb7ebd46da564",
    "cache_subdir": "models",
}
_POOLED_SIZE = 2048  # of Inception-v3


def inception_v3(weights: str) -> FeatureExtractor:
    """Inception-v3 of keras.applications at 299 x 299.

    Published Inception scores and FIDs use another network, the graph of 2015
    (`frozen_graph`), and are not comparable with scores by this one.

    Args:
      weights: "imagenet", downloaded by Keras, or a Keras weights file of
        that network. With the top layer, of any number of classes, the
        extractor returns probabilities; without, pooled features [B, 2048]
        only.

    Raises:
      UserError: the weights cannot be downloaded or loaded.
    """
    path = _downloaded() if weights == "imagenet" else weights
    if not os.path.isfile(path):
        raise UserError(
            "weights of inception_v3 must be imagenet or the path of a file; "
            f"found no file at {weights!r}"
        )
    backbone, top = _load_inception(path)

    def network(images):
        pooled = backbone(resized(images, SIZE), training=False)
        if top is None:
            return {"pooled": pooled}
        return {"pooled": pooled, "probabilities": top(pooled)}

    return FeatureExtractor(
        name=f"inception_v3 of keras.applications, {os.path.basename(path)}",
        sha256=digest(path),
        size=SIZE,
        network=network,
    )


def _downloaded() -> str:
    try:
        return keras.utils.get_file(**IMAGENET)
    except Exception as error:  # Keras raises Exception itself
        raise UserError(
            "the ImageNet weights of inception_v3 could not be downloaded: "
            f"{one_line(error)}; download {IMAGENET['origin']} on another "
            "machine, and give that file as the weights"
        ) from None


def _load_inception(path: str) -> tuple[keras.Model, keras.Layer | None]:
    """Images -> pooled features, and the layer of classes if there is one."""
    try:
        classes = _classes(path)
        network = keras.applications.InceptionV3(
            include_top=classes is not None,
            weights=path,
            input_shape=(SIZE, SIZE, 3),
            pooling="avg",  # without top; with it, Keras averages as well
            **({} if classes is None else {"classes": classes}),
        )
    except Exception as error:  # a damaged file can raise anything
        raise UserError(
            "weights of inception_v3 must be a Keras weights file of that "
            f"network; {path} could not be loaded: {one_line(error)}"
        ) from error
    if classes is None:
        return without_batch_norm(network), None
    top = network.get_layer("predictions")
    return without_batch_norm(keras.Model(network.input, top.input)), top


def _classes(path: str) -> int | None:
    """The number of classes of a weights file; None without top layer.

    The kernel of the classes is its only matrix: all other weights are
    kernels of convolutions or vectors.
    """
    widths = []

    def visit(_, item):
        if isinstance(item, h5py.Dataset) and len(item.shape) == 2:
            widths.append(item.shape)

    with h5py.File(path) as file:
        file.visititems(visit)
    return next((K for C, K in widths if C == _POOLED_SIZE), None)


def keras_model(path: str) -> FeatureExtractor:
    """A classifier in a .keras or .h5 file.

    Its only input takes images in [-1, 1], [B, size, size, 3] (299 if the
    size is not fixed); any other preprocessing must be in its first layers.
    Its only output is probabilities. Pooled features are the input of the
    Dense layer that computes the classes; models without one have none. Code
    in the file (Lambda layers) is not loaded.

    Raises:
      UserError: the file is not such a model.
    """
    kind = f"Keras model {os.path.basename(path)}"
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can raise anything
        raise UserError(
            f"a feature extractor must be a complete Keras model; {path} could "
            f"not be loaded: {one_line(error)}; only inception_v3 takes "
            "weights alone"
        ) from error
    size = _input_size(model, path)
    outputs = {"probabilities": model.outputs[0]}
    pooled = _pooled(model)
    if pooled is not None:
        outputs["pooled"] = pooled
    network = keras.Model(model.inputs[0], outputs)
    return FeatureExtractor(
        name=kind,
        sha256=digest(path),
        size=size,
        network=lambda images: network(resized(images, size), training=False),
    )


def _input_size(model: keras.Model, path: str) -> int:
    inputs, outputs = (
        [tuple(x.shape) for x in getattr(model, kind, None) or []]
        for kind in ("inputs", "outputs")
    )
    if len(inputs) == len(outputs) == 1 and len(inputs[0]) == 4:
        _, H, W, channels = inputs[0]
        if H == W and channels == 3:
            return H or SIZE
    raise UserError(
        "a feature extractor must have one input of square images, [B, size, "
        f"size, 3], and one output; {path} has inputs {inputs} and outputs "
        f"{outputs}"
    )


def _pooled(model: keras.Model):
    """The input of the Dense layer of the classes, [B, C], or None."""
    dense = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    # Squeeze-and-excitation has Dense layers as well, of other sizes.
    if not dense or dense[-1].units != model.outputs[0].shape[-1]:
        return None
    features = dense[-1].input
    return features if len(features.shape) == 2 else None
