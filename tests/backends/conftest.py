"""Keras models in files."""

import warnings

import pytest


@pytest.fixture(scope="session")
def save():
    """Writes a model or its weights, by the method's name."""

    def write(model, path, method="save"):
        with warnings.catch_warnings():
            # Keras 3.15 reads variables by an __array__ that NumPy 2
            # deprecates.
            warnings.filterwarnings("ignore", "__array__ implementation")
            getattr(model, method)(str(path))

    return write
