"""Compares runs as in the paper's Table 2 and Fig. 3."""

import collections
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attngan_tf.errors import UserError
from attngan_tf.pretrained import scores as published
from attngan_tf.pretrained.scores import PUBLISHED, Published
from attngan_tf.runs.reports import (
    LABELS,
    OF_PIXELS,
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
# The fields of `How` that must be equal, and their names in a report.
ASPECTS = {
    "backend": "feature extractor",
    "n": "N",
    "splits": "number of splits",
    "reference": "reference",
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
    "alone."
)
CURVES = (
    "The curve of a run shows the steps that were scored in one way (as "
    "above): the way with the most steps."
)
Points = Mapping[str, Mapping[str, Point]]  # by run and score


def write_report(folder: str, workdirs: Sequence[str]) -> list[str]:
    """Writes a comparison of runs: report.md, and curves.png.

    Args:
      folder: of both files; created if it does not exist.
      workdirs: of the runs; they are only read.

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
    beside = _published(runs)
    yield from ("# Comparison of runs", "", *_table(runs, last, beside))
    yield from ("", SCORES, "", COMPARABLE, "")
    warnings = [*_warnings("in the table", last)]
    warnings += _published_warnings(runs, last, beside)
    yield from (line for text in warnings for line in (_warning(text), ""))
    if plotted:
        yield from (f"![Scores over training]({CURVES_FILE})", "", CURVES, "")
        for text in _warnings("in the curves", _curve_ends(runs)):
            yield from (_warning(text), "")
    yield from _list("How the runs were scored", _conditions(last))
    sources = collections.defaultdict(list)
    for _, entry in beside:
        sources[entry.source].append(f"{entry.name} ({entry.dataset})")
    yield from _list("Published scores", sources)
    faults = {fault: [run.name] for run in runs for fault in run.faults}
    yield from _list("Lines left out", faults)


def _warning(text: str) -> str:
    return f"**Warning:** {_plain(text)}"


def _list(title: str, items: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A section of names and the text they have in common, if any."""
    if items:
        yield from (f"## {title}", "")
        for text, names in items.items():
            names = "; ".join(dict.fromkeys(names))
            yield f"- {_plain(names)}: {_plain(text)}"
        yield ""


def _plain(text: str) -> str:
    """Text on one line that does not end a cell."""
    return " ".join(text.split()).replace("|", r"\|")


def _published(runs: Sequence[Run]) -> list[tuple[str, Published]]:
    """Published scores, each with the last run that it belongs to."""
    found = []
    for entry in PUBLISHED:
        names = [run.name for run in runs if entry.belongs_to(run.config)]
        if names:
            found.append((names[-1], entry))
    return found


def _table(
    runs: Sequence[Run], last: Points, beside: Sequence[tuple[str, Published]]
) -> Iterator[str]:
    """A row for each run; published scores below the run they belong to."""
    rows = []
    for run in runs:
        rows.append(_run_row(run, last[run.name]))
        rows += [_published_row(x) for name, x in beside if name == run.name]
    scores = dict.fromkeys([*LABELS, *(x for p in last.values() for x in p)])
    after = [y for x in scores for y in (_label(x), _real_label(x))]
    after += [_best_label(name) for name in BEST]
    columns = dict.fromkeys(column for row in rows for column in row)
    ordered = [*(x for x in columns if x not in after), *after]
    shown = [x for x in ordered if any(row.get(x) for row in rows)]
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
    }
    if entry.damsm_lambda is not None:
        row["stages"] = entry.num_stages
        row["lambda"] = f"{entry.damsm_lambda:g}"
    for name, text in entry.scores.items():
        row[_label(name)] = f"{text} (N {published.N:,})"
    return row


def _score_cell(value: Value) -> str:
    """Such as 42.90 +- 5.17 (N 1,000)."""
    return value.text() + (f" (N {value.n:,})" if value.n else "")


def _curve_ends(runs: Sequence[Run]) -> dict[str, dict[str, Point]]:
    """The last points of the curves, by run and score."""
    return {
        run.name: {
            name: line[-1] for name in PANELS if (line := series(run, name))
        }
        for run in runs
    }


def _warnings(where: str, found: Points) -> Iterator[str]:
    """A line for scores of the runs that were computed in different ways.

    Scores that differ in the same way share a line.
    """
    scores = dict.fromkeys(name for points in found.values() for name in points)
    for aspect, word in ASPECTS.items():
        labels = collections.defaultdict(list)
        for score in scores:
            if aspect != "n" and score in OF_PIXELS:
                continue
            runs = collections.defaultdict(list)
            for run, points in found.items():
                if score in points:
                    runs[getattr(points[score].how, aspect)].append(run)
            if len(runs) > 1:
                ways = (_way(way, names) for way, names in runs.items())
                labels[" / ".join(ways)].append(_label(score))
        for ways, names in labels.items():
            yield f"not the same {word} {where}: {ways}; {', '.join(names)}"


def _way(way: str | int, names: Sequence[str]) -> str:
    """The runs with one value of an aspect, after the value if it is short."""
    text = ", ".join(names)
    if not way:
        return f"{NOT_WRITTEN} ({text})"
    return text if isinstance(way, str) else f"{way:,} ({text})"


def _published_warnings(
    runs: Sequence[Run], last: Points, beside: Sequence[tuple[str, Published]]
) -> Iterator[str]:
    """A line for each run whose N differs from that of its published scores."""
    for run in runs:
        entries = [x for _, x in beside if x.belongs_to(run.config)]
        scores = {name for x in entries for name in x.scores}
        counts = {p.how.n for k, p in last[run.name].items() if k in scores}
        if others := sorted(counts - {published.N}):
            text = ", ".join(f"{n:,}" if n else NOT_WRITTEN for n in others)
            yield f"the published N is {published.N:,}, {run.name}'s {text}"


def _conditions(last: Points) -> dict[str, list[str]]:
    """The names of the runs by the conditions they were scored on."""
    ways = collections.defaultdict(list)
    for run, points in last.items():
        found = collections.defaultdict(list)
        for name, point in points.items():
            extractor = point.how.backend or NOT_WRITTEN
            reference = point.how.reference or NOT_WRITTEN
            text = f"feature extractor: {extractor}; reference: {reference}"
            found[text].append(_label(name))
        for text, names in found.items():
            ways[f"{', '.join(names)}: {text}"].append(run)
    return ways
