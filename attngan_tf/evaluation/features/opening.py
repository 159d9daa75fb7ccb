"""Opens feature extractors by name or path."""

import os

from attngan_tf.errors import UserError
from attngan_tf.evaluation.features.extractor import FeatureExtractor
from attngan_tf.evaluation.features.graphs import frozen_graph, saved_model
from attngan_tf.evaluation.features.keras_models import (
    inception_v3,
    keras_model,
)

INCEPTION = "inception_v3"
KINDS = (
    f"{INCEPTION}, a Keras model (.keras or .h5), the folder of a SavedModel, "
    "or a frozen graph (.pb)"
)


def open_extractor(
    name_or_path: str, weights: str = "imagenet"
) -> FeatureExtractor:
    """Opens the feature extractor that a user chooses.

    A SavedModel and a frozen graph are programs: open only trusted ones.

    Args:
      name_or_path: inception_v3, or the path of a Keras model, of a
        SavedModel's folder or of a frozen graph.
      weights: "imagenet" or a path; applies to inception_v3 only.

    Raises:
      UserError: there is no such network, or it cannot extract features.
    """
    if name_or_path == INCEPTION:
        return inception_v3(weights)
    if os.path.isfile(os.path.join(name_or_path, "saved_model.pb")):
        return saved_model(name_or_path)
    if os.path.isfile(name_or_path):
        if name_or_path.endswith((".keras", ".h5")):
            return keras_model(name_or_path)
        if name_or_path.endswith(".pb"):
            return frozen_graph(name_or_path)
    raise UserError(
        f"a feature extractor must be {KINDS}; found none at {name_or_path!r}"
    )
