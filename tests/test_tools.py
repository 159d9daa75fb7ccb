"""The programs behind docs/performance.md, at tiny sizes."""

import pathlib
import re
import subprocess
import sys

import pytest
from PIL import Image

from tests.tools.compare import __main__ as compare
from tests.tools.growth import __main__ as growth
from tests.tools.growth import point

ROOT = pathlib.Path(__file__).parents[1]


def run(*arguments: str) -> list[str]:
    """The rows that a program prints."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [x for x in done.stdout.splitlines() if x.startswith("|")]


@pytest.mark.slow
def test_comparison_prints_both_times_and_their_ratio():
    few = ["--batch_size=1", "--rounds=1", "--calls=1"]
    rows = run("tests.tools.compare", "generate", *few)[2:]
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


@pytest.mark.slow
def test_growth_is_measured_in_a_process_for_each_point(tmp_path):
    rows = run(
        *("tests.tools.growth", "prepare", "images", "--values=5,20"),
        f"--output={tmp_path}",
    )
    prepare, images = rows[:5], rows[5:]
    assert prepare[0] == "| images | call, s | memory, MB |"
    assert images[0] == "| images | start, s | call, s | memory, MB |"
    for size, row in zip((5, 20), images[2:4], strict=True):
        value, *cells = row.strip("| ").split(" | ")
        assert int(value) == size
        start, call, memory = map(float, cells)
        assert 0 < call < start
        assert 1 < memory < 500
    assert images[4].startswith("| exponent of the last two |")
    with Image.open(tmp_path / "growth.png") as image:
        assert image.width > 500


def test_exponent_is_that_of_the_last_two_points():
    found = growth.exponent([1, 2, 6], [5.0, 3.0, 27.0])
    assert found == pytest.approx(2.0)


def test_memory_is_that_above_the_start():
    points = {
        8: {"start_s": 3, "call_s": 2, "base_bytes": 4e6, "peak_bytes": 9e6},
        4: {"start_s": 2, "call_s": 1, "base_bytes": 4e6, "peak_bytes": 6e6},
    }
    found = growth.results(points, once=False)
    assert found["call, s"] == [1, 2]
    assert found["memory, MB"] == [2.0, 5.0]
    assert "start, s" not in growth.results(points, once=True)


@pytest.mark.parametrize(
    ("durations", "median"),
    [
        ([9.0, 0.5, 3.0], 3.0),  # long ones all count, until 10 s
        ([0.5, 2.0, 1.0, 4.0], 2.0),
        ([11.0], 11.0),
    ],
)
def test_number_of_calls_depends_on_their_duration(
    monkeypatch, durations, median
):
    clock, left = [0.0], list(durations)
    monkeypatch.setattr(point.time, "perf_counter", lambda: clock[0])

    def call():
        clock[0] += left.pop(0)

    assert point.median_seconds(call) == median
    assert not left
