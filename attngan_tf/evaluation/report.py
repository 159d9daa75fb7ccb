"""Runs side by side, as the paper's Table 2 and Fig. 3."""

import collections
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attngan_tf.config import Config
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
BEST = ("inception_score", "r_precision")  # the higher, the better
MODEL = {  # columns, and the fields of the configuration that they show
    "data set": "dataset",
    "generator": "generator",
    "stages": "num_stages",
    "lambda": "damsm_lambda",
    "attention": "attention",
    "text training": "text_training",
}
# How a score was measured, as a reader calls it.
ASPECTS = {
    "backend": "backend",
    "n": "N",
    "splits": "number of splits",
    "reference": "reference",
}
NOT_WRITTEN = "not written"
COMPARABLE = (
    "Two numbers can be compared only where the backend (the networks that "
    "look at the pictures), N (how many pictures), the splits of an Inception "
    "score and the reference (the real pictures) are the same: FID falls and "
    "the Inception score rises with N alone."
)


def write_report(folder: str, workdirs: Sequence[str]) -> list[str]:
    """Writes runs side by side: report.md, and curves.png.

    Args:
      folder: for both files; made if it is not there.
      workdirs: of the runs; nothing is written there.

    Returns:
      The paths of what was written; no curves.png where no run has scores.

    Raises:
      UserError: there is no workdir, one of them is none, or the folder cannot
        be written.
    """
    if not workdirs:
        raise UserError(
            "a report needs the workdirs of one run or more; received none; "
            "name them after the flags"
        )
    runs = read_runs(workdirs)
    report = os.path.join(folder, REPORT_FILE)
    picture = os.path.join(folder, CURVES_FILE)
    try:
        os.makedirs(folder, exist_ok=True)
        drawn = plot_curves(picture, runs)
        with open(report, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in _lines(runs, drawn))
    except OSError as error:
        raise UserError(
            f"a report needs a folder to write to; received {folder!r}: "
            f"{error.strerror}"
        ) from None
    return [report, picture] if drawn else [report]


def _lines(runs: Sequence[Run], drawn: bool) -> Iterator[str]:
    """The report, in Markdown."""
    last = {run.name: last_scores(run) for run in runs}
    beside = _beside(runs)
    yield from ("# Runs side by side", "", *_table(runs, last, beside), "")
    yield (
        "Scores are those of the last step that `evaluate` scored, or, where "
        'it scored none, of the last scoring in training; "real" is the same '
        'score of real pictures, "best" the best step of the curves.'
    )
    yield from ("", COMPARABLE, "")
    yield from _data_sets(runs)
    yield from _warnings("in the table", last)
    yield from _published_warnings(runs, last, beside)
    if drawn:
        yield from (f"![Scores over training]({CURVES_FILE})", "")
        yield (
            "Of each run and score, a curve shows the steps that were scored "
            "in one way (as above): the way with the most steps."
        )
        yield ""
        yield from _warnings("in the curves", _curve_ends(runs))
    yield from _sources(last, beside)
    faults = {fault: [run.name] for run in runs for fault in run.faults}
    yield from _list("Lines left out", faults)


def _beside(runs: Sequence[Run]) -> list[tuple[str, Published]]:
    """Published scores, each with the last run that it belongs to."""
    found = []
    for entry in PUBLISHED:
        names = [run.name for run in runs if entry.belongs_to(run.config)]
        if names:
            found.append((names[-1], entry))
    return found


def _table(
    runs: Sequence[Run],
    last: Mapping[str, Mapping[str, Point]],
    beside: Sequence[tuple[str, Published]],
) -> Iterator[str]:
    """A row a run, published ones below the run that they belong to."""
    rows = []
    for run in runs:
        rows.append(_run_row(run, last[run.name]))
        rows += [_published_row(x) for name, x in beside if name == run.name]
    names = dict.fromkeys(LABELS)
    names |= dict.fromkeys(name for points in last.values() for name in points)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    scores = [x for name in names for x in (_label(name), _real_label(name))]
    best = [_best_label(name) for name in BEST]
    first = [x for x in columns if x not in scores and x not in best]
    shown = [
        column
        for column in (*first, *scores, *best)
        if any(row.get(column) for row in rows)
    ]
    yield _row(shown)
    yield "|---" * len(shown) + "|"
    for row in rows:
        yield _row(str(row.get(column, "")) for column in shown)


def _row(cells: Iterable[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """A text in one line that ends no cell."""
    return " ".join(text.split()).replace("|", r"\|")


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def _real_label(name: str) -> str:
    return f"real: {_label(name)}"


def _best_label(name: str) -> str:
    return f"best by {_label(name)}"


def _run_row(run: Run, points: Mapping[str, Point]) -> dict[str, object]:
    """The cells of a run by their columns."""
    row = {"run": run.name, **_model_cells(run.config)}
    row["step"] = "".join({f"{point.step:,}" for point in points.values()})
    for name, point in points.items():
        row[_label(name)] = _score_cell(point.generated)
        if point.real is not None:
            row[_real_label(name)] = _score_cell(point.real)
    row |= {_best_label(name): _best_cell(run, name) for name in BEST}
    return row


def _best_cell(run: Run, name: str) -> str:
    """A run's best score, and where; the paper has R-precision there, too."""
    over = [p for p in series(run, name) if math.isfinite(p.generated.mean)]
    if not over:
        return ""
    best = max(over, key=lambda point: point.generated.mean)
    text = f"{_score_cell(best.generated)} at step {best.step:,}"
    if name == "inception_score":
        for point in series(run, "r_precision"):
            if point.step == best.step:
                beside = _score_cell(point.generated)
                text += f", {_label('r_precision')} {beside}"
    return text


def _model_cells(config: Config) -> dict[str, object]:
    """What a run's model is."""
    fields = dataclasses.asdict(config)
    cells = {
        column: f"{fields[name]:g}" if name == "damsm_lambda" else fields[name]
        for column, name in MODEL.items()
        if name in fields
    }
    return {**cells, "side": config.image_sizes[-1]}


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


def _warnings(
    where: str, found: Mapping[str, Mapping[str, Point]]
) -> Iterator[str]:
    """A line where a score of the runs was measured in several ways.

    Scores that differ in the same manner share a line.
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
            text = f"not the same {word} {where}: {ways}; {', '.join(names)}"
            yield from (f"**Warning:** {_plain(text)}", "")


def _way(way: str | int, names: Sequence[str]) -> str:
    """The runs of a backend or reference, or those of an N."""
    text = ", ".join(names)
    if not way:
        return f"{NOT_WRITTEN} ({text})"
    return text if isinstance(way, str) else f"{way:,} ({text})"


def _data_sets(runs: Sequence[Run]) -> Iterator[str]:
    """A line where the runs have several data sets."""
    found = collections.defaultdict(list)
    for run in runs:
        found[run.config.dataset].append(run.name)
    if len(found) > 1:
        sets = (f"{name} ({', '.join(x)})" for name, x in found.items())
        text = f"not the same data set: {' / '.join(sets)}"
        yield from (f"**Warning:** {_plain(text)}", "")


def _published_warnings(
    runs: Sequence[Run],
    last: Mapping[str, Mapping[str, Point]],
    beside: Sequence[tuple[str, Published]],
) -> Iterator[str]:
    """A line where a run has another N than the published scores beside it."""
    for run in runs:
        entries = [x for _, x in beside if x.belongs_to(run.config)]
        scores = {name for x in entries for name in x.scores}
        counts = {p.how.n for k, p in last[run.name].items() if k in scores}
        if others := sorted(counts - {published.N}):
            text = ", ".join(f"{n:,}" if n else NOT_WRITTEN for n in others)
            text = f"the published N is {published.N:,}, {run.name}'s {text}"
            yield from (f"**Warning:** {_plain(text)}", "")


def _sources(
    last: Mapping[str, Mapping[str, Point]],
    beside: Sequence[tuple[str, Published]],
) -> Iterator[str]:
    """How the runs were scored, and where published scores are from."""
    ways = collections.defaultdict(dict)
    for run, points in last.items():
        found = collections.defaultdict(list)
        for name, point in points.items():
            how = point.how
            text = f"backend: {how.backend or NOT_WRITTEN}; reference: "
            text += how.reference or NOT_WRITTEN
            found[text].append(_label(name))
        for text, names in found.items():
            ways[f"{', '.join(names)}: {text}"][run] = None
    yield from _list("How the runs were scored", ways)
    sources = collections.defaultdict(dict)
    for _, entry in beside:
        sources[entry.source][f"{entry.name} ({entry.dataset})"] = None
    yield from _list("Published scores", sources)


def _list(title: str, items: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A section of names and what they share, if it has items."""
    if items:
        yield from (f"## {title}", "")
        for text, names in items.items():
            yield f"- {_plain('; '.join(names))}: {_plain(text)}"
        yield ""
