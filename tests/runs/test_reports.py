"""Scores that are read from workdirs, and the lines that count."""

import pathlib

import pytest

from attngan_tf.runs.reports import last_scores, read_runs, series

LINE = {"stage": "gan", "step": 100, "time": 1.5, "r_precision": 30.0}


def line(step, value=30.0, **more):
    return {**LINE, "step": step, "r_precision": value, **more}


def scored(step, name="r_precision", value=30.0, n=500, **more):
    score = {name: value, f"{name}_n": float(n)}
    return {"stage": "evaluate", "step": step, "time": 2.5, **score, **more}


@pytest.fixture
def read(run_folder):
    """Reads a run with the given reports."""

    def make(*lines, **fields):
        (run,) = read_runs([run_folder("run", lines, **fields)])
        return run

    return make


def steps_and_means(points):
    return [(point.step, point.generated.mean) for point in points]


def test_a_score_has_all_values_of_its_line(read):
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
    ((*where, generated, real, how),) = run.scores["r_precision"]
    assert where == ["evaluate", 7, 2.5]
    assert (generated.mean, generated.n, generated.std) == (42.5, 500, 5.0)
    assert (real.mean, real.n, real.std) == (16.0, 400, 4.0)
    assert how == (500, "inception", "test", 0)


def test_each_score_names_the_networks_it_depends_on(read):
    line = scored(1, backend="inception", encoders="damsm", splits=10.0)
    line |= {"part_classifier": "CNN"}
    names = ("inception_score", "frechet", "r_precision", "colour")
    names += ("parts", "parts_beak")
    run = read(line | {k: 3.0 for name in names for k in (name, f"{name}_n")})
    hows = {name: run.scores[name][0].how for name in names}
    assert {name: how.network for name, how in hows.items()} == {
        "inception_score": "inception",
        "frechet": "inception",
        "r_precision": "damsm",
        "colour": "none, pixels alone",
        "parts": "CNN",
        "parts_beak": "CNN",
    }
    assert [how.splits for how in hows.values()] == [10, 0, 0, 0, 0, 0]


def test_finetuned_encoders_make_one_curve(read):
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
    assert found[-1].how.network == "precision float32, tuned with gan True"


@pytest.mark.parametrize(
    "broken",
    [
        '{"stage": "gan", "step": 150, "r_prec',
        '{"stage": "gan", "st{"stage": "gan", "step": 150}',
        "\0\0\0\0",
        "[1, 2]",
        '{"stage": "gan", "r_precision": 50.0}',
        '{"stage": "gan", "step": "100", "r_precision": 50.0}',
    ],
)
def test_a_broken_line_is_skipped_and_reported(read, broken):
    run = read(line(100, 30.0), broken, line(200, 40.0))
    found = steps_and_means(run.scores["r_precision"])
    assert found == [(100, 30.0), (200, 40.0)]
    (fault,) = run.faults
    assert fault.endswith("metrics.jsonl, line 2: not a report")


def test_a_run_without_reports_has_no_scores(run_folder):
    folder = pathlib.Path(run_folder("run"))
    (folder / "metrics.jsonl").unlink()
    (run,) = read_runs([str(folder)])
    assert not run.scores
    assert "metrics.jsonl could not be read: No such file" in run.faults[0]
    assert not last_scores(run)
    assert not series(run, "r_precision")


def test_runs_with_equal_folder_names_are_named_by_their_paths(
    run_folder,
):
    folders = [run_folder(name) for name in ("a/gan", "b/gan", "other")]
    runs = read_runs([*folders, folders[0] + "/"])
    assert [run.name for run in runs] == [*folders[:2], "other"]


def test_the_last_scores_are_those_of_evaluate(read):
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


@pytest.mark.parametrize(
    ("lines", "means"),
    [
        # The measurement with the most steps, even if it is older.
        ([line(1, 1.0), line(2, 2.0), scored(2, value=9.0)], [1.0, 2.0]),
        # The latest of equally many.
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
def test_all_points_of_a_curve_are_measured_alike(read, lines, means):
    found = series(read(*lines), "r_precision")
    assert [point.generated.mean for point in found] == means
