"""Reports that compare runs, by their Markdown."""

import pathlib

import pytest
from absl import flags

from attngan_tf.cli import command
from attngan_tf.errors import UserError
from attngan_tf.evaluation import report as module
from attngan_tf.evaluation.report import write_report

ROOT = pathlib.Path(__file__).parents[2]
HOW = {"feature_extractor": "inception of x", "reference": "500 of cub"}
OLD = {"backend": "inception of x", "reference": HOW["reference"]}
KID = "KID"
FID = "FID"


def scored(step, n=500, how=HOW, **values):
    """A line of evaluate."""
    counts = {f"{name}_n": n for name in values if not name.endswith("_std")}
    line = {"stage": "evaluate", "step": step, "time": 0.0}
    return {**line, **values, **counts, **how}


def trained(step, **values):
    return {**scored(step, n=100, **values), "stage": "gan"}


@pytest.fixture
def report(tmp_path, monkeypatch):
    """Writes a report; returns its text and its table, a dict for each row."""
    monkeypatch.setattr(module, "plot_curves", lambda path, runs: True)

    def write(*workdirs):
        written = write_report(str(tmp_path / "out"), workdirs)
        text = pathlib.Path(written[0]).read_text(encoding="utf-8")
        rows = [
            [cell.strip() for cell in line.strip("|").split(" |")]
            for line in text.splitlines()
            if line.startswith("|")
        ]
        head, _, *rows = rows
        return text, [dict(zip(head, row, strict=True)) for row in rows]

    return write


def warnings(text):
    prefix = "**Warning:** "
    lines = [x for x in text.splitlines() if x.startswith(prefix)]
    return [line.removeprefix(prefix) for line in lines]


def test_a_row_has_the_model_and_its_scores(run_folder, report):
    line = scored(
        1200,
        n=1000,
        r_precision=42.9,
        r_precision_std=5.166,
        real_r_precision=16.3,
        real_r_precision_std=4.94,
        kid=0.00012345,
        kid_std=0.0000321,
        text_to_image_at_5=12.0,
    )
    lines = [
        trained(200, r_precision=float("nan")),
        trained(400, r_precision=50.0),
        trained(800, r_precision=45.0),
        line,
    ]
    fields = {"base_size": 16, "num_stages": 3, "damsm_lambda": 2.0}
    folder = run_folder("a|b\nc", lines, dataset="folder", **fields)
    _, (row,) = report(folder)
    assert row == {
        "run": r"a\|b c",  # which leaves the table intact
        "data set": "folder",
        "generator": "attngan",
        "stages": "3",
        "lambda": "2",
        "attention": "words",
        "text training": "damsm",
        "side": "64",
        "step": "1,200",
        "R-precision (%)": "42.90 +- 5.17 (N 1,000)",
        "real: R-precision (%)": "16.30 +- 4.94 (N 1,000)",
        KID: "0.000123 +- 0.000032 (N 1,000)",
        "text to image at 5": "12.00 (N 1,000)",
        "best by R-precision (%)": "50.00 (N 100) at step 400",
    }


def test_columns_and_cells_without_values(run_folder, report):
    one = run_folder("one", [scored(5, frechet=7.25)], dataset="demo")
    two = run_folder("two", [scored(6, kid=0.5)], dataset="demo", seed=1)
    none = run_folder("none", [], dataset="demo", seed=2)
    text, rows = report(one, two, none)
    scores = list(rows[0])[8:]
    assert scores == ["step", FID, KID]
    cells = [[row[name] for name in scores] for row in rows]
    assert cells[0] == ["5", "7.25 (N 500)", ""]
    assert cells[1] == ["6", "", "0.5000 (N 500)"]
    assert cells[2] == ["", "", ""]
    assert warnings(text) == []
    assert "comparable only if the feature extractor, N" in text


@pytest.mark.parametrize(
    ("name", "score", "precision"),
    [
        ("attngan1_no_damsm", "3.98 +- 0.04", "10.37 +- 5.88"),
        ("attngan1_lambda_0.1", "4.19 +- 0.06", "16.55 +- 4.83"),
        ("attngan1_lambda_1", "4.35 +- 0.05", "34.96 +- 4.02"),
        ("attngan1_lambda_5", "4.35 +- 0.04", "58.65 +- 5.41"),
        ("attngan1_lambda_10", "4.29 +- 0.05", "63.87 +- 4.85"),
        ("attngan2_lambda_5", "4.36 +- 0.03", "67.82 +- 4.43"),
        ("attngan2_lambda_50_coco", "25.89 +- 0.47", "85.47 +- 3.69"),
    ],
)
def test_the_papers_scores_are_below_runs_of_its_flagfiles(
    tmp_path, report, name, score, precision
):
    """The values as printed in the paper's Table 2."""
    values = flags.FlagValues()
    command.define_config_flags(values)
    path = ROOT / "configs" / "paper" / f"{name}.flags"
    values(["train", f"--flagfile={path}", f"--workdir={tmp_path / name}"])
    config = command.config_from_flags(values)
    pathlib.Path(config.workdir).mkdir()
    config.save(config.workdir, {})
    text, (run, paper, *others) = report(config.workdir)
    assert run["run"] == name
    assert paper["Inception score"] == f"{score} (N 30,000)"
    assert paper["R-precision (%)"] == f"{precision} (N 30,000)"
    for column in ("data set", "stages", "lambda", "side"):
        assert paper[column] == run[column]
    assert len(others) == (0 if config.num_stages == 2 else 1)
    assert {other["data set"] for other in others} <= {run["data set"]}
    assert "Xu et al., CVPR 2018, Table 2" in text


def test_published_scores_appear_once_and_beside_equal_models_only(
    run_folder, report
):
    line = scored(5, inception_score=4.0)
    fields = {"num_stages": 2, "damsm_lambda": 5.0}
    first = run_folder("first", [line], **fields)
    again = run_folder("again", [line], seed=1, **fields)
    other = run_folder("other", [line], num_stages=2, damsm_lambda=2.0)
    plain = run_folder("plain", [line], attention="none", **fields)
    # The paper's row without DAMSM has another text encoder.
    ours = run_folder("ours", [line], num_stages=2, damsm_lambda=0.0)
    text, rows = report(first, again, other, plain, ours)
    names = [row["run"] for row in rows]
    published = "*AttnGAN1, lambda 5, published*"
    assert names == ["first", "again", published, "other", "plain", "ours"]
    assert warnings(text) == []


BOTH = f"{FID}, Inception score: one (N 500) / two (N 500)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"how": {**HOW, "feature_extractor": "other"}}, BOTH),
        ({"how": {"reference": HOW["reference"]}}, BOTH),
        ({"how": {**HOW, "reference": "all"}}, BOTH),
        ({"n": 1000}, BOTH.replace("two (N 500)", "two (N 1,000)")),
        ({"n": 0}, BOTH.replace("two (N 500)", "two (N not recorded)")),
        ({"how": {**HOW, "splits": 5.0}}, BOTH.removeprefix(f"{FID}, ")),
        ({"how": {**HOW, "encoders": "b"}}, None),  # R-precision only
        ({"how": OLD}, None),  # as version 0.1 wrote it
    ],
)
def test_scores_measured_in_different_ways_have_one_warning(
    run_folder, report, change, expected
):
    """Those of the table and of the curves, which differ in the same way."""
    scores = {"frechet": 20.0, "inception_score": 4.0}
    lines = scored(5, **scores), scored(5, **scores, **change)
    one, two = (
        run_folder(name, [line], dataset="demo")
        for name, line in zip(("one", "two"), lines, strict=True)
    )
    text, _ = report(one, two)
    prefix = "measured in different ways: "
    assert warnings(text) == ([prefix + expected] if expected else [])


def test_curves_measured_in_different_ways_have_a_warning(run_folder, report):
    last = scored(9, frechet=20.0)
    lines = [trained(5, frechet=30.0), trained(7, frechet=25.0), last]
    one = run_folder("one", lines, dataset="demo")
    two = run_folder("two", [last], dataset="demo")
    text, rows = report(one, two)
    assert {row[FID] for row in rows} == {"20.00 (N 500)"}
    assert warnings(text) == [
        f"measured in different ways: {FID}: one (N 100) / two (N 500)"
    ]


def test_conditions_are_listed_once_for_runs_that_share_them(
    run_folder, report
):
    other = {**HOW, "feature_extractor": "a\n# b", "splits": 5.0}
    lines = [
        scored(5, frechet=7.0),
        scored(5, inception_score=4.0, how=other),
    ]
    text, _ = report(*(run_folder(x, lines, dataset="demo") for x in "ab"))
    reference = f"reference: {HOW['reference']}"
    for line in (
        f"- a; b: {FID}: feature extractor: inception of x; {reference}\n",
        f"- a; b: Inception score: feature extractor: a # b; {reference}; 5 "
        "splits\n",
    ):
        assert line in text


def test_the_best_inception_score_has_the_r_precision_of_its_step(
    run_folder, report
):
    """As in the paper's Table 2."""
    lines = [
        scored(5, inception_score=4.0, r_precision=60.0),
        scored(6, inception_score=4.5, r_precision=50.0),
        scored(7, inception_score=4.2, r_precision=55.0),
    ]
    _, (row,) = report(run_folder("run", lines, dataset="demo"))
    assert row["best by Inception score"] == (
        "4.50 (N 500) at step 6, R-precision (%) 50.00 (N 500)"
    )
    assert row["best by R-precision (%)"] == "60.00 (N 500) at step 5"


def test_damaged_lines_are_listed(run_folder, report):
    lines = [scored(5, frechet=7.0), '{"stage": "evaluate", "step": 6, "fre']
    folder = run_folder("cut", lines)
    text, (row, *_) = report(folder)
    assert row["step"] == "5"
    assert f"- cut: {folder}/metrics.jsonl, line 2: not a report" in text


def test_only_the_reports_files_are_written(run_folder, tmp_path):
    folder = pathlib.Path(run_folder("run", [scored(5, frechet=7.0)]))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "new" / "out"
    written = write_report(str(out), [str(folder)])
    assert written == [str(out / "report.md"), str(out / "curves.png")]
    assert sorted(map(str, out.iterdir())) == sorted(written)
    assert "(curves.png)" in (out / "report.md").read_text()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    empty = write_report(str(tmp_path / "out"), [run_folder("empty")])
    assert empty == [str(tmp_path / "out" / "report.md")]
    assert "curves.png" not in pathlib.Path(empty[0]).read_text()


def test_user_errors(run_folder, tmp_path):
    out = str(tmp_path / "out")
    with pytest.raises(UserError, match="one run or more; received none"):
        write_report(out, [])
    with pytest.raises(UserError, match=r"a workdir holds a config\.json"):
        write_report(out, [str(tmp_path)])
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="a folder to write to; received"):
        write_report(str(file), [run_folder("run")])
