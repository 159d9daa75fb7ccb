"""Compares runs as in the paper's Table 2 and Fig. 3."""

import collections
import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attngan_tf.errors import UserError
from attngan_tf.pretrained.scores import PUBLISHED, N, Published
from attngan_tf.runs.reports import (
    LABELS,
    How,
    Point,
    Run,
    last_scores,
    read_runs,
    series,
)
from attngan_tf.runs.scores import Value
from attngan_tf.visualization.curves import PANELS, plot_curves

REPORT_FILE = "report.md"
CURVES_FILE = "curves.png"
BEST = ("inception_score", "r_precision")  # higher is better
MODEL = {  # columns, and the fields of the configuration that they show
    "data set": "dataset",
    "generator": "generator",
    "stages": "num_stages",
    "lambda": "damsm_lambda",
    "attention": "attention",
    "text training": "text_training",
}
NOT_WRITTEN = "not recorded"
SCORES = (
    "Scores are those of the last step that `evaluate` scored or, if it scored "
    'none, of the last scoring in training; "real" is the same score of real '
    'images, "best" is the best step of the curves.'
)
COMPARABLE = (
    "Two scores are comparable only if the feature extractor, N (the number of "
    "images), the splits of an Inception score and the reference (the real "
    "images) are the same: FID falls and the Inception score rises with N "
    "alone. Scores that were measured in different ways have a warning; the "
    "ways are listed below."
)
CURVES = (
    "If the steps of a run were scored in different ways, its curve shows the "
    "way with the most steps."
)
Points = Mapping[str, Mapping[str, Point]]  # by run and score


def write_report(folder: str, workdirs: Sequence[str]) -> list[str]:
    """Writes a comparison of runs: report.md, and curves.png.

    Args:
      folder: folder of both files; created if it does not exist.
      workdirs: the runs' workdirs, which are only read.

    Returns:
      The paths of the files; without curves.png if no run has scores.

    Raises:
      UserError: there is no workdir, a folder is not a workdir, or the report
        cannot be written.
    """
    if not workdirs:
        raise UserError(
            "a report needs the workdirs of one run or more; received none; "
            "add them after the flags"
        )
    runs = read_runs(workdirs)
    report = os.path.join(folder, REPORT_FILE)
    curves = os.path.join(folder, CURVES_FILE)
    try:
        os.makedirs(folder, exist_ok=True)
        plotted = plot_curves(curves, runs)
        with open(report, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in _lines(runs, plotted))
    except OSError as error:
        raise UserError(
            f"a report needs a folder to write to; received {folder!r}: "
            f"{error.strerror}"
        ) from None
    return [report, curves] if plotted else [report]


def _lines(runs: Sequence[Run], plotted: bool) -> Iterator[str]:
    """The report, in Markdown."""
    last = {run.name: last_scores(run) for run in runs}
    ends = {
        run.name: {x: line[-1] for x in PANELS if (line := series(run, x))}
        for run in runs
    }
    published = _published(runs)
    yield from ("# Comparison of runs", "", *_table(runs, last, published))
    yield from ("", SCORES, "", COMPARABLE, "")
    for text in _warnings(last, ends):
        yield from (f"**Warning:** {_plain(text)}", "")
    if plotted:
        yield from (f"![Scores over training]({CURVES_FILE})", "", CURVES, "")
    yield from _list("How the runs were scored", _conditions(last, ends))
    sources = collections.defaultdict(list)
    for entry in itertools.chain(*published.values()):
        sources[entry.source].append(f"{entry.name} ({entry.dataset})")
    yield from _list("Published scores", sources)
    faults = {fault: [run.name] for run in runs for fault in run.faults}
    yield from _list("Lines left out", faults)


def _list(title: str, items: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A section of names and the text they have in common, if any."""
    if items:
        yield from (f"## {title}", "")
        for text, names in items.items():
            names = "; ".join(dict.fromkeys(names))
            yield f"- {_plain(names)}: {_plain(text)}"
        yield ""


def _plain(text: str) -> str:
    """Text on one line, escaped for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", r"\|")


def _published(runs: Sequence[Run]) -> dict[str, list[Published]]:
    """Published scores, by the name of the last run that they belong to."""
    found = collections.defaultdict(list)
    for entry in PUBLISHED:
        names = [run.name for run in runs if entry.belongs_to(run.config)]
        if names:
            found[names[-1]].append(entry)
    return found


def _table(
    runs: Sequence[Run], last: Points, published: Mapping[str, list[Published]]
) -> Iterator[str]:
    """A row for each run; published scores below the run they belong to."""
    rows = []
    for run in runs:
        rows.append(_run_row(run, last[run.name]))
        rows += map(_published_row, published.get(run.name, ()))
    scores = dict.fromkeys([*LABELS, *itertools.chain(*last.values())])
    columns = ["run", *MODEL, "side", "step"]
    columns += [y for x in scores for y in (_label(x), _real_label(x))]
    columns += map(_best_label, BEST)
    shown = [x for x in columns if any(row.get(x) for row in rows)]
    yield _row(shown)
    yield "|---" * len(shown) + "|"
    for row in rows:
        yield _row(str(row.get(column, "")) for column in shown)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def _real_label(name: str) -> str:
    return f"real: {_label(name)}"


def _best_label(name: str) -> str:
    return f"best by {_label(name)}"


def _run_row(run: Run, points: Mapping[str, Point]) -> dict[str, object]:
    """The cells of a run by their columns."""
    fields = dataclasses.asdict(run.config)
    row = {column: fields[name] for column, name in MODEL.items()}
    row["lambda"] = f"{row['lambda']:g}"
    row = {"run": run.name, **row, "side": run.config.image_sizes[-1]}
    row["step"] = "".join({f"{point.step:,}" for point in points.values()})
    for name, point in points.items():
        row[_label(name)] = _score_cell(point.generated)
        if point.real is not None:
            row[_real_label(name)] = _score_cell(point.real)
    return row | {_best_label(name): _best_cell(run, name) for name in BEST}


def _best_cell(run: Run, name: str) -> str:
    """A run's best score and its step; as in the paper, with R-precision."""
    line = [p for p in series(run, name) if math.isfinite(p.generated.mean)]
    if not line:
        return ""
    best = max(line, key=lambda point: point.generated.mean)
    text = f"{_score_cell(best.generated)} at step {best.step:,}"
    if name == "inception_score":
        for point in series(run, "r_precision"):
            if point.step == best.step:
                score = _score_cell(point.generated)
                text += f", {_label('r_precision')} {score}"
    return text


def _published_row(entry: Published) -> dict[str, object]:
    """The cells of published scores by their columns."""
    row = {
        "run": f"*{entry.name}, published*",
        "data set": entry.dataset,
        "side": entry.side,
        "stages": entry.num_stages,
        "lambda": f"{entry.damsm_lambda:g}",
    }
    for name, text in entry.scores.items():
        row[_label(name)] = f"{text} (N {N:,})"
    return row


def _score_cell(value: Value) -> str:
    """Such as 42.90 +- 5.17 (N 1,000)."""
    return value.text() + (f" (N {value.n:,})" if value.n else "")


def _warnings(*places: Points) -> Iterator[str]:
    """Lines about scores of the runs that were measured in different ways.

    Scores that differ in the same way share a line.

    Args:
      places: the points that the table compares, and those of the curves.
    """
    labels = collections.defaultdict(dict)  # as ordered sets
    for found in places:
        for score in dict.fromkeys(itertools.chain(*found.values())):
            runs = collections.defaultdict(list)
            for run, points in found.items():
                if score in points:
                    runs[points[score].how].append(run)
            if len(runs) > 1:
                ways = " / ".join(_way(*way) for way in runs.items())
                labels[ways][_label(score)] = True
    for ways, scores in labels.items():
        yield f"measured in different ways: {', '.join(scores)}: {ways}"


def _way(how: How, names: Sequence[str]) -> str:
    return f"{', '.join(names)} (N {f'{how.n:,}' if how.n else NOT_WRITTEN})"


def _conditions(*places: Points) -> dict[str, list[str]]:
    """The names of the runs by the conditions they were scored under."""
    labels = collections.defaultdict(dict)
    for found in places:
        for run, points in found.items():
            for score, point in points.items():
                labels[run, _condition(point.how)][_label(score)] = True
    runs = collections.defaultdict(list)
    for (run, text), scores in labels.items():
        runs[f"{', '.join(scores)}: {text}"].append(run)
    return runs


def _condition(how: How) -> str:
    """How a score was measured, without N, which the table shows."""
    splits = f"; {how.splits} splits" if how.splits else ""
    return (
        f"feature extractor: {how.network or NOT_WRITTEN}; "
        f"reference: {how.reference or NOT_WRITTEN}{splits}"
    )
