"""Backends of Keras: Inception-v3 by name, and models in a file."""

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

# The file with top that keras.applications loads, and where it keeps it.
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

    It is not the network of published Inception scores and FIDs, which is the
    graph of 2015 (`frozen_graph`): its figures compare with one another only.

    Args:
      weights: "imagenet", downloaded by Keras, or a Keras weights file of
        that network. With top, of any number of classes, the backend gives
        probabilities; without, pooled features [B, 2048] alone.

    Raises:
      UserError: the weights cannot be downloaded or loaded.
    """
    path = _downloaded() if weights == "imagenet" else weights
    if not os.path.isfile(path):
        raise UserError(
            "weights of inception_v3 must be imagenet or the path of a file; "
            f"found no file at {weights!r}"
        )
    trunk, top = _load_inception(path)

    def network(images):
        pooled = trunk(resized(images, SIZE), training=False)
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
            f"{one_line(error)}; download {IMAGENET['origin']} on a machine "
            "that can, and name that file as the weights"
        ) from None


def _load_inception(path: str) -> tuple[keras.Model, keras.Layer | None]:
    """Pictures -> pooled features, and the layer of classes if there is one."""
    try:
        classes = _classes(path)
        network = keras.applications.InceptionV3(
            include_top=classes is not None,
            weights=path,
            input_shape=(SIZE, SIZE, 3),
            pooling="avg",  # used without top; with it, they are averaged, too
            **({} if classes is None else {"classes": classes}),
        )
    except Exception as error:  # a broken file can raise nearly anything
        raise UserError(
            "weights of inception_v3 must be a Keras weights file of that "
            f"network; {path} could not be loaded: {one_line(error)}"
        ) from error
    if classes is None:
        return without_batch_norm(network), None
    top = network.get_layer("predictions")
    return without_batch_norm(keras.Model(network.input, top.input)), top


def _classes(path: str) -> int | None:
    """How many classes a weights file has; None for a file without top.

    The kernel of the classes is the only matrix: all others are of
    convolutions, and the rest are vectors.
    """
    widths = []

    def look(_, item):
        if isinstance(item, h5py.Dataset) and len(item.shape) == 2:
            widths.append(item.shape)

    with h5py.File(path) as file:
        file.visititems(look)
    return next((K for C, K in widths if C == _POOLED_SIZE), None)


def keras_model(path: str) -> FeatureExtractor:
    """A classifier in a .keras or .h5 file.

    Its one input takes pictures in [-1, 1], [B, size, size, 3] (299 where the
    model leaves the size open), so what its training did beyond that belongs
    into its first layers; its one output is probabilities. Pooled features
    are what goes into the Dense layer that gives the classes; other models
    have none. Code in the file (Lambda layers) is refused.

    Raises:
      UserError: the file is not such a model.
    """
    kind = f"Keras model {os.path.basename(path)}"
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a broken file can raise nearly anything
        raise UserError(
            f"a backend must be a whole Keras model; {path} could not be "
            f"loaded: {one_line(error)}; weights alone can be those of "
            "inception_v3 only"
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
        "a backend must have one input of square pictures, [B, size, size, 3], "
        f"and one output; {path} has inputs {inputs} and outputs {outputs}"
    )


def _pooled(model: keras.Model):
    """The input of the Dense layer that gives the classes, [B, C], or None."""
    dense = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    # Squeeze-and-excitation is made of Dense layers, too, of other sizes.
    if not dense or dense[-1].units != model.outputs[0].shape[-1]:
        return None
    features = dense[-1].input
    return features if len(features.shape) == 2 else None
