"""The development server under load, with faulty clients, for some seconds."""

import subprocess
import sys

import pytest
from server_process import ROOT, environment

from tests.export.traffic import bad


@pytest.mark.slow
def test_good_requests_are_answered_beside_faulty_clients():
    done = subprocess.run(
        [sys.executable, "-m", "tests.export.traffic", "--minutes=0.2"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr[-4000:]
    assert done.returncode == 0, said
    for kind in bad.KINDS:
        assert f"| {kind.__name__} | " in said
    assert "| failed | 0 |" in said
