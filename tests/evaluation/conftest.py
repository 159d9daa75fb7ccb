"""Fixtures shared by the tests of evaluation."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def make_demo_data(tmp_path_factory):
    """Makes prepared demo data of so many images to train and test."""
    from attngan_tf.data import catalog, prepared_data
    from attngan_tf.data.demo import builder

    def make(train, test):
        dataset = builder.Demo(data_dir=str(tmp_path_factory.mktemp("demo")))
        with pytest.MonkeyPatch.context() as patch:
            counts = {"train": train, "test": test}
            patch.setattr(builder.Demo, "NUM_IMAGES", counts)
            catalog.prepare(dataset)
        return prepared_data.read_data(dataset)

    return make


@pytest.fixture(scope="session")
def random_images():
    """Makes float32 images, or other arrays, of uniform noise in [-1, 1]."""

    def make(*shape, seed=0):
        rng = np.random.default_rng(seed)
        return rng.uniform(-1, 1, shape).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def render_bird():
    """Renders birds of one colour, or of one for each part, as PIL images."""
    from attngan_tf.data.demo import builder

    def make(colours, index, rng=None, **fields):
        if isinstance(colours, str):
            colours = [colours] * len(builder.PARTS)
        default = {
            "colours": dict(zip(builder.PARTS, colours, strict=True)),
            "pose": builder.POSES[index % 3],
            "left": index % 2 == 0,
            "size": 0.5,
            "long_beak": index % 5 == 0,
            "ground": "plain",
        }
        rng = np.random.default_rng(index) if rng is None else rng
        return builder.draw_bird(builder.Bird(**(default | fields)), rng)

    return make
