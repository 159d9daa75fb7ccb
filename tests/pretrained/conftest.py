"""PyTorch and TensorFlow in one process."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _threads(one_torch_thread):
    """All of these tests use both."""
