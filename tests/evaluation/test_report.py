"""Reports on runs side by side, by their Markdown."""

import pathlib
import subprocess
import sys

import pytest
from absl import flags

from attngan_tf.cli import command
from attngan_tf.errors import UserError
from attngan_tf.evaluation.report import write_report

ROOT = pathlib.Path(__file__).parents[2]
HOW = {"backend": "inception of x", "reference": "500 of cub's test"}


def scored(step, n=500, how=HOW, **values):
    """A line of evaluate."""
    counts = {f"{name}_n": n for name in values if not name.endswith("_std")}
    line = {"stage": "evaluate", "step": step, "time": 0.0}
    return {**line, **values, **counts, **how}


def trained(step, **values):
    return {**scored(step, n=100, **values), "stage": "gan"}


@pytest.fixture
def report(tmp_path):
    """Writes a report; returns its text and its table, a dict a row."""

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
    return [x for x in text.splitlines() if x.startswith("**Warning:**")]


def test_a_row_says_what_a_run_is_and_how_it_scored(run_folder, report):
    line = scored(
        1200,
        n=1000,
        r_precision=42.9,
        r_precision_std=5.166,
        real_r_precision=16.3,
        real_r_precision_std=4.94,
        diversity_captions=0.30283,
        text_to_image_at_5=12.0,
    )
    lines = [
        trained(200, r_precision=float("nan")),
        trained(400, r_precision=50.0),
        trained(800, r_precision=45.0),
        line,
    ]
    fields = {"base_size": 16, "num_stages": 3, "damsm_lambda": 2.0}
    folder = run_folder("mine", lines, dataset="folder", **fields)
    _, (row,) = report(folder)
    assert row == {
        "run": "mine",
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
        "pixel distance of different captions": "0.3028 (N 1,000)",
        "text to image at 5": "12.00 (N 1,000)",
        "best by R-precision (%)": "50.00 (N 100) at step 400",
    }


def test_columns_and_cells_without_values(run_folder, report):
    one = run_folder("one", [scored(5, frechet=7.25)], dataset="demo")
    two = run_folder("two", [scored(6, kid=0.5)], dataset="demo", seed=1)
    none = run_folder("none", [], dataset="demo", seed=2)
    _, rows = report(one, two, none)
    scores = list(rows[0])[8:]
    assert scores == ["step", "Frechet distance (FID)", "kernel distance (KID)"]
    cells = [[row[name] for name in scores] for row in rows]
    assert cells[0] == ["5", "7.25 (N 500)", ""]
    assert cells[1] == ["6", "", "0.5000 (N 500)"]
    assert cells[2] == ["", "", ""]


PAPER = [
    ("attngan1_no_damsm", "3.98 +- 0.04", "10.37 +- 5.88"),
    ("attngan1_lambda_0.1", "4.19 +- 0.06", "16.55 +- 4.83"),
    ("attngan1_lambda_1", "4.35 +- 0.05", "34.96 +- 4.02"),
    ("attngan1_lambda_5", "4.35 +- 0.04", "58.65 +- 5.41"),
    ("attngan1_lambda_10", "4.29 +- 0.05", "63.87 +- 4.85"),
    ("attngan2_lambda_5", "4.36 +- 0.03", "67.82 +- 4.43"),
    ("attngan2_lambda_50_coco", "25.89 +- 0.47", "85.47 +- 3.69"),
]


@pytest.mark.parametrize(("name", "score", "precision"), PAPER)
def test_the_papers_numbers_stand_below_its_flagfiles_runs(
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
    assert len(others) == (0 if config.num_stages == 2 else 4)
    assert {other["data set"] for other in others} <= {run["data set"]}
    assert "Xu et al., CVPR 2018, Table 2" in text


def test_published_numbers_stand_once_and_beside_equals_only(
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
    assert warnings(text) == [
        f"**Warning:** the published N is 30,000, {name}'s 500"
        for name in ("first", "again")
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"how": {**HOW, "backend": "other"}}, "backend {}: one / two"),
        ({"how": {**HOW, "reference": "all"}}, "reference {}: one / two"),
        (
            {"how": {"reference": HOW["reference"]}},
            "backend {}: one / not written (two)",
        ),
        ({"n": 1000}, "N {}: 500 (one) / 1,000 (two)"),
    ],
)
def test_what_cannot_be_compared_is_said(run_folder, report, change, said):
    scores = {"inception_score": 4.0, "frechet": 20.0}
    one = run_folder("one", [scored(5, **scores)], dataset="demo")
    two = run_folder("two", [scored(5, **scores, **change)], dataset="demo")
    text, _ = report(one, two)
    names = "; Inception score, Frechet distance (FID)"
    assert warnings(text) == [
        "**Warning:** not the same " + said.format(where) + names
        for where in ("in the table", "in the curves")
    ]


def test_other_splits_and_other_encoders_cannot_be_compared(run_folder, report):
    line = scored(5, inception_score=4.0, r_precision=50.0, frechet=20.0)
    one, two = (
        run_folder(name, [line | more], dataset="demo")
        for name, more in (
            ("one", {"splits": 10.0, "encoders": "a"}),
            ("two", {"splits": 5.0, "encoders": "b"}),
        )
    )
    text, _ = report(one, two)
    told = [x for x in warnings(text) if "in the table" in x]
    assert told == [
        "**Warning:** not the same backend in the table: one / two; "
        "R-precision (%)",
        "**Warning:** not the same number of splits in the table: 10 (one) / "
        "5 (two); Inception score",
    ]


def test_scores_of_a_run_that_were_measured_in_two_ways(run_folder, report):
    other = {**HOW, "backend": "other"}
    lines = [scored(5, frechet=7.0), scored(5, kid=1.0, how=other)]
    text, _ = report(run_folder("run", lines, dataset="demo"))
    for score, backend in (
        ("Frechet distance (FID)", "inception of x"),
        ("kernel distance (KID)", "other"),
    ):
        assert f"- run: {score}: backend: {backend}; reference: 500" in text


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


def test_small_scores_keep_their_digits(run_folder, report):
    line = scored(5, kid=0.00012345, kid_std=0.0000321)
    _, (row,) = report(run_folder("run", [line], dataset="demo"))
    assert row["kernel distance (KID)"] == "0.000123 +- 0.000032 (N 500)"


def test_other_data_sets_cannot_be_compared(run_folder, report):
    lines = [trained(5, frechet=7.0)]
    names = ("demo", "folder")
    text, _ = report(*(run_folder(f"a_{x}", lines, dataset=x) for x in names))
    assert warnings(text) == [
        "**Warning:** not the same data set: demo (a_demo) / folder (a_folder)"
    ]


def test_pixel_distances_depend_on_no_network(run_folder, report):
    other = {"backend": "other", "reference": "all"}
    lines = [
        scored(5, diversity_captions=0.2, colour=7.0),
        scored(5, diversity_captions=0.2, colour=7.0, how=other),
    ]
    one, two = (
        run_folder(f"{i}", [line], dataset="demo")
        for i, line in enumerate(lines)
    )
    text, _ = report(one, two)
    assert warnings(text) == []


def test_runs_that_were_scored_alike_share_a_line(run_folder, report):
    line = scored(5, frechet=7.0, kid=1.0)
    text, _ = report(*(run_folder(x, [line], dataset="demo") for x in "ab"))
    assert (
        "- a; b: Frechet distance (FID), kernel distance (KID): backend: "
        "inception of x; reference: 500 of cub's test\n" in text
    )


def test_what_can_be_compared_has_no_warning(run_folder, report):
    one = run_folder("one", [scored(5, kid=1.0)], dataset="demo")
    two = run_folder(
        "two", [scored(9, kid=2.0), scored(9, n=9, colour=3.0)], dataset="demo"
    )
    text, _ = report(one, two)
    assert warnings(text) == []
    assert "can be compared only where the backend" in text


def test_lines_left_out_are_named(run_folder, report):
    lines = [scored(5, frechet=7.0), '{"stage": "evaluate", "step": 6, "fre']
    folder = run_folder("cut", lines)
    text, (row, *_) = report(folder)
    assert row["step"] == "5"
    assert f"- cut: {folder}/metrics.jsonl, line 2: not a whole" in text


def test_names_keep_the_table_whole(run_folder, report):
    how = {"backend": "a\n# b", "reference": "c"}
    line = scored(5, frechet=7.0, how=how)
    _, (row,) = report(run_folder("a|b\nc", [line], dataset="demo"))
    assert row["run"] == r"a\|b c"


def test_the_files_are_returned_and_workdirs_stay_as_they_are(
    run_folder, tmp_path
):
    folder = pathlib.Path(run_folder("run", [scored(5, frechet=7.0)]))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "new" / "out"
    written = write_report(str(out), [str(folder)])
    assert written == [str(out / "report.md"), str(out / "curves.png")]
    assert sorted(map(str, out.iterdir())) == sorted(written)
    assert "(curves.png)" in (out / "report.md").read_text()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_without_scores_there_are_no_curves(run_folder, tmp_path):
    written = write_report(str(tmp_path / "out"), [run_folder("run")])
    assert written == [str(tmp_path / "out" / "report.md")]
    assert "curves.png" not in pathlib.Path(written[0]).read_text()


def test_mistakes_are_said(run_folder, tmp_path):
    out = str(tmp_path / "out")
    with pytest.raises(UserError, match="one run or more; received none"):
        write_report(out, [])
    with pytest.raises(UserError, match=r"a workdir holds a config\.json"):
        write_report(out, [str(tmp_path)])
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="a folder to write to; received"):
        write_report(str(file), [run_folder("run")])


def test_a_report_needs_neither_tensorflow_nor_a_display():
    code = "import sys, attngan_tf.evaluation.report; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.split())
    assert "matplotlib.figure" in modules
    assert not modules & {"tensorflow", "keras", "matplotlib.pyplot"}
