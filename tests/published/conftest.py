"""PyTorch and TensorFlow in one process."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread():
    """Leaves the other cores to TensorFlow's threads.

    PyTorch's wait for one another in busy loops: with as many as there are
    cores, beside TensorFlow's, a step that takes 0.6 s takes up to 15 s.
    """
    try:
        import torch
    except ImportError:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
