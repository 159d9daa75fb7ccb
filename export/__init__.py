"""From a workdir to TensorFlow Serving."""
