"""Curves of scores: what the figure contains, and the PNG."""

import itertools

import numpy as np
import pytest
from PIL import Image

from attngan_tf.runs.reports import read_runs
from attngan_tf.visualization.curves import curves, plot_curves


def line(step, **values):
    return {"stage": "gan", "step": step, "time": 0.0, **values}


@pytest.fixture
def two_runs(run_folder):
    low = [
        line(0, r_precision=1.0, r_precision_std=0.5, frechet=90.0),
        line(10, r_precision=3.0, r_precision_std=1.0, frechet=80.0),
    ]
    high = [line(5, r_precision=2.0), line(10, r_precision=40.0)]
    return read_runs([run_folder("low", low), run_folder("high", high)])


def test_each_score_has_a_panel_and_each_run_a_line_with_a_band(two_runs):
    figure = curves(two_runs)
    precision, frechet = figure.axes
    assert precision.get_ylabel() == "R-precision (%)"
    assert frechet.get_ylabel() == "FID"
    plotted = [
        [line.get_xydata().tolist() for line in axes.lines]
        for axes in (precision, frechet)
    ]
    first, second = [[0, 1], [10, 3]], [[5, 2], [10, 40]]
    assert plotted == [[first, second], [[[0, 90], [10, 80]]]]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["low", "high"]
    with_std, without = precision.collections
    (path,) = with_std.get_paths()
    corners = {tuple(corner) for corner in path.vertices.tolist()}
    assert corners == {(0, 0.5), (0, 1.5), (10, 2), (10, 4)}
    assert without.get_paths() == []


def test_runs_differ_in_greyscale_and_look_alike_in_all_panels(run_folder):
    scores = {"r_precision": 1.0, "frechet": 2.0}
    lines = [line(1, **scores), line(2, **scores)]
    runs = read_runs([run_folder(f"run{i}", lines) for i in range(28)])
    first, second = (
        [(x.get_linestyle(), x.get_marker(), x.get_color()) for x in axes.lines]
        for axes in curves(runs).axes
    )
    assert first == second
    assert len({style[:2] for style in first}) == 28


@pytest.mark.parametrize(
    ("epochs", "label", "x"),
    [
        ([0.5, 1.0], "epoch", [[0.5, 1.0]]),
        ([0.5, None], "step of the GAN", [[100, 200]]),
    ],
)
def test_epochs_are_used_if_every_point_has_one(run_folder, epochs, label, x):
    lines = [
        line(step, inception_score=2.0, **({} if e is None else {"epoch": e}))
        for step, e in zip((100, 200), epochs, strict=True)
    ]
    (axes,) = curves(read_runs([run_folder("run", lines)])).axes
    assert axes.get_xlabel() == label
    assert [x.get_xdata().tolist() for x in axes.lines] == x


def test_runs_without_scores_are_not_plotted(run_folder, tmp_path):
    losses = [line(1, **{"generator/total": 3.0})]
    runs = read_runs([run_folder("early", losses)])
    path = tmp_path / "scores.png"
    assert not plot_curves(str(path), runs)
    assert not path.exists()
    late = run_folder("late", [line(1, frechet=2.0)])
    figure = curves([*runs, *read_runs([late])])
    (text,) = figure.legends[0].get_texts()
    assert text.get_text() == "late"


@pytest.mark.parametrize("count", [1, 9])
def test_nothing_is_cut_off_or_overlaps(run_folder, count):
    lines = [
        line(k, r_precision=k / 1e4, frechet=1e5, inception_score=4.0)
        for k in (0, 100_000, 200_000)
    ]
    folders = [
        run_folder(f"a_run_with_{'a_very_' * i}long_name", lines)
        for i in range(count)
    ]
    figure = curves(read_runs(folders))
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    boxes.append(figure.legends[0].get_tightbbox())
    assert len(boxes) == 4
    for box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for axes in figure.axes:
        assert axes.bbox.height > 2.5 * figure.dpi


def test_the_png_supports_any_run_name(run_folder, tmp_path):
    lines = [line(1, frechet=2.0), line(2, frechet=float("nan"))]
    folders = [run_folder(name, lines) for name in ("_low", "$x_{$", "a|b")]
    path = tmp_path / "scores.png"
    assert plot_curves(str(path), read_runs(folders))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    blue = np.array((0x00, 0x72, 0xB2))  # the third run's
    assert (np.abs(pixels - blue).sum(axis=-1) < 30).sum() > 20


@pytest.mark.parametrize("last", [0.16, 3.0, 14.0, 2_000_000.0])
def test_tick_labels_are_the_numbers_at_their_positions(run_folder, last):
    lines = [line(1, epoch=0.0, frechet=9.0), line(2, epoch=last, frechet=8.0)]
    figure = curves(read_runs([run_folder("run", lines)]))
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    texts = [label.get_text() for label in axis.get_ticklabels()]
    plain = str.maketrans("\N{MINUS SIGN}", "-", ",")
    numbers = [float(text.translate(plain)) for text in texts]
    assert numbers == pytest.approx(axis.get_ticklocs().tolist())
    assert len(set(texts)) == len(texts) > 2
