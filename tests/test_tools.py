"""The comparison with PyTorch in docs/performance.md, at a tiny size."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.tools.compare import __main__ as compare

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_comparison_prints_both_times_and_their_ratio():
    few = ["--batch_size=1", "--rounds=1", "--calls=1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools.compare", "generate", *few],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    rows = [x for x in done.stdout.splitlines() if x.startswith("|")][2:]
    assert len(rows) == 3
    pattern = r"\| generate \| \w+ (\d+) ms \d+ MB \| \w+ (\d+) ms \d+ MB "
    for row in rows:
        found = re.match(pattern + r"\| ([\d.]+) \| [\d.]+ \|", row)
        ours, reference, ratio = map(float, found.groups())
        assert ours > 0
        assert abs(reference / ours - ratio) < 0.1 * ratio + 0.02


def test_ratios_are_the_references_time_and_memory_by_ours():
    measured = {
        ("reference", "float32"): (8.0, 6e9),
        ("reference", "bf16"): (5.0, 5e9),
        ("ours", "float32"): (4.0, 3e9),
        ("ours", "bf16"): (2.0, 4e9),
    }
    rows = list(compare.table("train", measured))
    assert rows[1] == (
        "| train | bf16 2000 ms 4000 MB | float32 8000 ms 6000 MB "
        "| 4.00 | 1.50 |"
    )
    assert [row.split(" | ")[3] for row in rows] == ["2.00", "4.00", "2.50"]
