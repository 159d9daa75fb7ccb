"""Fixtures shared by the tests of evaluation."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny_model(tiny_workdir):
    """The model of a tiny run; tests must not change it."""
    from attngan_tf.text_to_image import load

    return load(str(tiny_workdir))


@pytest.fixture(scope="session")
def tiny_data(tiny_config):
    """The prepared data of the tiny run; tests must not change it."""
    from attngan_tf.data import catalog, prepared_data

    builder = catalog.open_configured(tiny_config())
    catalog.prepare(builder)
    return prepared_data.read_data(builder)


@pytest.fixture(scope="session")
def random_images():
    """Makes float32 images, or other arrays, of uniform noise in [-1, 1]."""

    def make(*shape, seed=0):
        rng = np.random.default_rng(seed)
        return rng.uniform(-1, 1, shape).astype(np.float32)

    return make
