"""AttnGAN in PyTorch, written from the equations: a second opinion.

Its state dicts have the names and shapes of the published files, its losses
and its training step are the released code's. Whatever imports it at its top
is skipped where torch is missing.
"""

import pytest

pytest.importorskip(
    "torch", reason="the peer networks need torch: pip install -e .[convert]"
)
