"""What is read of workdirs, and which lines count."""

import math
import pathlib

import pytest

from attngan_tf.errors import UserError
from attngan_tf.runs.reports import labels, last_scores, read_runs, series

LINE = {"stage": "gan", "step": 100, "time": 1.5, "r_precision": 30.0}


def line(step, value=30.0, **more):
    return {**LINE, "step": step, "r_precision": value, **more}


def scored(step, name="r_precision", value=30.0, n=500, **more):
    score = {name: value, f"{name}_n": float(n)}
    return {"stage": "evaluate", "step": step, "time": 2.5, **score, **more}


@pytest.fixture
def read(run_folder):
    """Reads a run with such lines."""

    def make(*lines, **fields):
        (run,) = read_runs([run_folder("run", lines, **fields)])
        return run

    return make


def steps_and_means(points):
    return [(point.step, point.generated.mean) for point in points]


def test_a_score_has_its_n_spread_real_score_and_way(read):
    run = read(
        scored(
            7,
            value=42.5,
            r_precision_std=5.0,
            real_r_precision=16.0,
            real_r_precision_n=400,
            real_r_precision_std=4.0,
            epoch=2.5,
            backend="inception",
            reference="test",
            seconds=9.0,
        ),
    )
    assert list(run.scores) == ["r_precision"]
    ((step, epoch, generated, real, how),) = run.scores["r_precision"]
    assert (step, epoch) == (7, 2.5)
    assert (generated.mean, generated.n, generated.std) == (42.5, 500, 5.0)
    assert (real.mean, real.n, real.std) == (16.0, 400, 4.0)
    assert how == ("evaluate", 500, "inception", "test", 0)


def test_a_line_may_say_less(read):
    run = read(
        line(100, r_precision_n=1000.0, candidates=100.0),
        line(200),
        {"stage": "gan", "step": 200, "generator_32/total": 1.0},
        {"stage": "damsm", "step": 900, "r_precision": 90.0},
    )
    first, second = run.scores.pop("r_precision")
    assert not run.scores
    assert (first.generated.n, second.generated.n) == (1000, 0)
    assert first.epoch is first.real is first.generated.std is None
    assert second.how == ("gan", 0, "", "", 0)


def test_each_score_is_measured_by_what_it_depends_on(read):
    line = scored(1, backend="inception", encoders="damsm", splits=10.0)
    line |= {"part_classifier": "CNN"}
    names = ("inception_score", "frechet", "r_precision", "colour")
    names += ("parts", "parts_beak")
    run = read(line | {k: 3.0 for name in names for k in (name, f"{name}_n")})
    ways = {name: run.scores[name][0].how for name in names}
    assert {name: how.backend for name, how in ways.items()} == {
        "inception_score": "inception",
        "frechet": "inception",
        "r_precision": "damsm",
        "colour": "none, pixels alone",
        "parts": "CNN",
        "parts_beak": "CNN",
    }
    assert [how.splits for how in ways.values()] == [10, 0, 0, 0, 0, 0]


def test_names_of_scores_to_come_are_found_by_their_n(read):
    run = read(scored(1, "image_to_text_at_5", 12.0, seconds=3.0))
    assert list(run.scores) == ["image_to_text_at_5"]


def test_encoders_that_are_tuned_make_one_curve(read):
    def encoders(step, **fields):
        return {"precision": "float32", **fields, "sha256": f"{step}a"}

    run = read(
        *(
            scored(step, value=float(step), encoders=encoders(step))
            for step in (1, 2)
        ),
        *(
            scored(
                step,
                "frechet",
                9.0 - step,
                feature_extractor=encoders(step, tuned_with_gan=True),
            )
            for step in (1, 2, 3)
        ),
    )
    assert steps_and_means(series(run, "r_precision")) == [(2, 2.0)]
    found = series(run, "frechet")
    assert steps_and_means(found) == [(1, 8.0), (2, 7.0), (3, 6.0)]
    assert found[-1].how.backend == "precision float32, tuned with gan True"


@pytest.mark.parametrize(
    "broken",
    [
        '{"stage": "gan", "step": 150, "r_prec',
        '{"stage": "gan", "st{"stage": "gan", "step": 150}',
        "\0\0\0\0",
        "[1, 2]",
        "12",
        '{"stage": "gan", "r_precision": 50.0}',
        '{"step": 100, "r_precision": 50.0}',
        '{"stage": "gan", "step": "100", "r_precision": 50.0}',
    ],
)
def test_a_broken_line_is_left_out_and_named(read, broken):
    run = read(line(100, 30.0), broken, line(200, 40.0))
    found = steps_and_means(run.scores["r_precision"])
    assert found == [(100, 30.0), (200, 40.0)]
    (fault,) = run.faults
    assert fault.endswith("metrics.jsonl, line 2: not a whole report")


@pytest.mark.parametrize("value", [None, "30", True, [30]])
def test_a_score_that_is_no_number_is_none(read, value):
    assert not read(line(100, value)).scores


def test_an_n_that_is_no_number_is_unknown(read):
    found = read(line(1, 3.0, r_precision_n=math.inf)).scores["r_precision"]
    assert found[0].generated.n == 0


def test_a_run_without_reports_has_no_scores(run_folder):
    folder = pathlib.Path(run_folder("run"))
    (folder / "metrics.jsonl").unlink()
    (run,) = read_runs([str(folder)])
    assert not run.scores
    assert "metrics.jsonl could not be read: No such file" in run.faults[0]
    assert not last_scores(run)
    assert not series(run, "r_precision")


def test_what_is_no_workdir_is_said(tmp_path):
    with pytest.raises(UserError, match=r"a workdir holds a config\.json"):
        read_runs([str(tmp_path)])


def test_runs_are_called_by_folders_and_by_paths_where_these_are_equal(
    run_folder,
):
    folders = [run_folder(name) for name in ("a/gan", "b/gan", "other")]
    runs = read_runs([*folders, folders[0] + "/"])
    assert [run.name for run in runs] == [*folders[:2], "other"]


def test_the_last_step_of_evaluate_counts(read):
    run = read(
        scored(100, "frechet", 20.0),
        scored(200, "frechet", 19.0),
        scored(200, value=40.0),
        scored(200, "frechet", 18.0),
        line(300, 50.0),
        scored(100, "kid", 1.0),
    )
    found = last_scores(run)
    assert steps_and_means(found.values()) == [(200, 18.0), (200, 40.0)]
    assert list(found) == ["frechet", "r_precision"]


def test_without_evaluate_training_counts(read):
    run = read(line(300, 50.0), line(100, 40.0))
    assert steps_and_means(last_scores(run).values()) == [(300, 50.0)]


def test_a_curve_is_of_steps_in_order_and_the_last_line_of_each(read):
    run = read(
        line(100, 30.0), line(200, 35.0), line(150, 33.0), line(100, 31.0)
    )
    found = steps_and_means(series(run, "r_precision"))
    assert found == [(100, 31.0), (150, 33.0), (200, 35.0)]


@pytest.mark.parametrize(
    ("lines", "means"),
    [
        # The way with the most steps, even if an older one.
        ([line(1, 1.0), line(2, 2.0), scored(2, value=9.0)], [1.0, 2.0]),
        (
            [scored(1, value=8.0), line(1, 1.0), scored(2, value=9.0)],
            [8.0, 9.0],
        ),
        # Of equals, the last.
        ([line(1, 1.0), scored(1, value=9.0)], [9.0]),
        ([scored(1, value=9.0), line(1, 1.0)], [1.0]),
        ([scored(1, value=5.0), scored(1, value=6.0, n=9)], [6.0]),
        ([scored(1, value=5.0), scored(1, value=6.0, backend="b")], [6.0]),
        ([scored(1, value=5.0), scored(1, value=6.0, reference="r")], [6.0]),
        (
            [
                scored(1, value=5.0),
                scored(1, value=6.0, n=9),
                scored(1, value=7.0),
            ],
            [7.0],
        ),
    ],
)
def test_a_curve_is_measured_in_one_way(read, lines, means):
    found = series(read(*lines), "r_precision")
    assert [point.generated.mean for point in found] == means


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            [{"damsm_lambda": 0.1}, {"damsm_lambda": 5}],
            ["lambda 0.1", "lambda 5"],
        ),
        (
            [
                {"attention": "none", "seed": 1},
                {"attention": "words", "seed": 2},
            ],
            ["seed 1, attention none", "seed 2, attention words"],
        ),
        # Paths and lengths make no other model.
        ([{"gan_steps": 5}, {"gan_steps": 7}], ["run0", "run1"]),
        ([{"encoders": "a"}, {"encoders": "b"}], ["run0", "run1"]),
        ([{"seed": 1}, {"seed": 2}, {"seed": 2}], ["run0", "run1", "run2"]),
        (
            [{}, {"seed": 2, "gf": 4, "df": 4, "z_size": 4}],
            ["run0", "run1"],
        ),
        ([{}], ["run0"]),
    ],
)
def test_labels_say_what_differs(run_folder, fields, expected):
    folders = [run_folder(f"run{i}", **x) for i, x in enumerate(fields)]
    assert labels(read_runs(folders)) == expected
