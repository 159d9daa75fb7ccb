"""How time and memory grow is measured, on two tiny points."""

import itertools
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from tests.growth import __main__ as growth
from tests.growth import plots, point

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_points_are_measured_in_processes_of_their_own(tmp_path):
    command = ["tests.growth", "prepare", "pictures", "--points=5,20"]
    done = subprocess.run(
        [sys.executable, "-m", *command, f"--output={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    prepare, pictures = rows[:5], rows[5:]
    assert prepare[0] == "| pictures | call, s | memory, MB |"
    assert pictures[0] == "| pictures | start, s | call, s | memory, MB |"
    for size, row in zip((5, 20), pictures[2:4], strict=True):
        value, *cells = row.strip("| ").split(" | ")
        assert int(value) == size
        start, call, memory = map(float, cells)
        assert 0 < call < start
        assert 1 < memory < 500
    assert pictures[4].startswith("| exponent of the last two |")
    with Image.open(tmp_path / "growth.png") as image:
        assert image.width > 500


def test_the_exponent_is_of_the_last_two_points():
    assert growth.exponent([1, 2, 6], [5.0, 3.0, 27.0]) == pytest.approx(2.0)


def test_memory_is_counted_from_the_start():
    points = {
        8: {"start_s": 3, "call_s": 2, "base_bytes": 4e6, "peak_bytes": 9e6},
        4: {"start_s": 2, "call_s": 1, "base_bytes": 4e6, "peak_bytes": 6e6},
    }
    found = growth.results(points, once=False)
    assert found["call, s"] == [1, 2]
    assert found["memory, MB"] == [2.0, 5.0]
    assert "start, s" not in growth.results(points, once=True)


@pytest.mark.parametrize(
    ("takes", "calls", "median"),
    [
        ([9.0, 0.5, 3.0], 3, 3.0),  # long ones all count, until 10 s
        ([0.5, 2.0, 1.0, 4.0], 4, 2.0),
        ([11.0], 1, 11.0),
    ],
)
def test_calls_that_count(monkeypatch, takes, calls, median):
    clock, made = [0.0], []
    monkeypatch.setattr(point.time, "perf_counter", lambda: clock[0])

    def call():
        clock[0] += takes[len(made)]
        made.append(None)

    assert point.median_seconds(call) == median
    assert len(made) == calls


def test_a_plot_shows_what_grows_as_the_size_does():
    lines = {"a": [3, 6, 12], "b": [5, 5, 4]}
    drawn = plots.figure({"step": ("batch", [1, 2, 1000], lines)})
    (axes,) = drawn.axes
    even, *found = [line.get_xydata().tolist() for line in axes.lines]
    assert even == [[1, 1], [2, 2], [1000, 1000]]
    assert found[0] == [[1, 1], [2, 2], [1000, 4]]
    assert found[1] == [[1, 1], [2, 1], [1000, 0.8]]
    assert (axes.get_title(), axes.get_xlabel()) == ("step", "batch")
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert [x.get_text() for x in axes.get_xticklabels()][2] == "1,000"
    assert [x.get_text() for x in axes.get_legend().texts] == ["a", "b"]


def test_no_label_of_a_plot_is_cut_off_or_covered():
    """The last value of an axis is written at the right edge."""
    panel = "pictures", [1, 100_000], {"call, s": [1, 9]}
    drawn = plots.figure({f"{i}": panel for i in range(4)})
    assert len(drawn.axes) == 4
    drawn.draw_without_rendering()
    page, boxes = drawn.bbox, [axes.get_tightbbox() for axes in drawn.axes]
    for box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    for box, other in itertools.combinations(boxes, 2):
        assert not box.overlaps(other)


def test_a_wrong_name_is_said(capsys):
    with pytest.raises(SystemExit):
        growth.parse(["speed"])
    assert "names must be of gan_batch" in capsys.readouterr().err
