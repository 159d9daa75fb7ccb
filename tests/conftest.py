"""Fixtures shared by all tests."""

import os
import pathlib

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real pictures, captions and Inception weights."""
    named = os.environ.get("ATTNGAN_SHARED")
    folder = pathlib.Path(named) if named else ROOT.parent / "shared"
    if not (folder / "data" / "cub227").is_dir():
        pytest.skip(
            "real data not found: set ATTNGAN_SHARED to a folder that holds "
            "data/cub227 and data/inception"
        )
    return folder / "data"
