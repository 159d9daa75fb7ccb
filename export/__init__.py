"""Exports trained models to TensorFlow Serving."""

import attngan_tf  # noqa: F401  first, as it starts TensorFlow quietly
