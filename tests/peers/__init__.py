"""AttnGAN in PyTorch, written from the equations: a second opinion.

Its state dicts have the names and shapes of the published files, its losses
and its training step are the released code's. Tests that import it at their
top are skipped where torch is missing.
"""

import importlib.util
import sys

if importlib.util.find_spec("torch") is None:
    MISSING = "the peer networks need torch: pip install -e .[convert]"
    if "pytest" not in sys.modules:
        sys.exit(MISSING)
    import pytest

    pytest.skip(MISSING, allow_module_level=True)
