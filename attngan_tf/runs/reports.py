"""Configurations and scores of runs, read from their workdirs."""

import collections
import dataclasses
import json
import math
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from attngan_tf.config import METRICS_FILE, Config
from attngan_tf.runs.scores import Value

# Labels of scores by their names in metrics.jsonl, in the order of the paper's
# Table 2. Other scores of a run are labelled by those names.
LABELS = {
    "inception_score": "Inception score",
    "r_precision": "R-precision (%)",
    "frechet": "Frechet distance (FID)",
    "kid": "kernel distance (KID)",
    "diversity_one_caption": "pixel distance of one caption",
    "diversity_one_caption_smallest": "smallest pixel distance of one caption",
    "diversity_captions": "pixel distance of different captions",
    "colour": "birds in the colour asked for (%)",
    "parts": "parts in the colour asked for (%)",
}
# Computed from the pixels of generated images, without a network.
OF_PIXELS = [
    name for name in LABELS if name.startswith(("diversity", "colour"))
]
NO_NETWORK = "none, pixels alone"
STAGES = ("gan", "evaluate")  # whose lines hold scores of generated images
DIFFERENCES = 2  # maximum number of fields in a label of a run


class How(NamedTuple):
    """How a score was measured; "" and 0 where the line does not have it."""

    stage: str  # "gan" during training; "evaluate"
    n: int
    # The encoders of R-precision, the classifier of parts, NO_NETWORK for
    # pixels; the feature extractor of other scores.
    backend: str
    reference: str
    splits: int  # of the Inception score; 0 for others


class Point(NamedTuple):
    """A score of a run at one step of its GAN."""

    step: int
    epoch: float | None
    generated: Value
    real: Value | None  # the same score of real images
    how: How


class Run(NamedTuple):
    """What a workdir holds.

    Attributes:
      name: name of the folder, or its path if several have the same name.
      config: the configuration of the run.
      scores: points by the names of the scores, in the order of writing.
      faults: descriptions of lines of metrics.jsonl that cannot be read.
    """

    name: str
    config: Config
    scores: dict[str, list[Point]]
    faults: list[str]


def read_runs(workdirs: Sequence[str]) -> list[Run]:
    """The runs of workdirs; a folder that is named twice is read once.

    Raises:
      UserError: a folder has no configuration of this version.
    """
    folders = list(dict.fromkeys(map(os.path.abspath, workdirs)))
    names = collections.Counter(map(os.path.basename, folders))
    runs = []
    for folder in folders:
        name, faults = os.path.basename(folder), []
        scores = collections.defaultdict(list)
        config = Config.load(folder)
        for line in read_reports(os.path.join(folder, METRICS_FILE), faults):
            for score, point in _points(line):
                scores[score].append(point)
        name = name if names[name] == 1 else folder
        runs.append(Run(name, config, dict(scores), faults))
    return runs


def read_reports(path: str, faults: list[str]) -> Iterator[dict]:
    """The scores in a metrics.jsonl; broken lines are added to `faults`."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, 1):
                line = _parse(text)
                if line is None:
                    faults.append(f"{path}, line {number}: not a report")
                elif line["stage"] in STAGES:
                    yield line
    except OSError as error:
        faults.append(f"{path} could not be read: {error.strerror}")


def _parse(text: str) -> dict | None:
    """A report; None for a truncated line, or other JSON."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    valid = (
        isinstance(line, dict)
        and isinstance(line.get("stage"), str)
        and type(line.get("step")) is int
    )
    return line if valid else None


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value) -> int:
    """A number as an integer; 0 unless it is a finite number."""
    return int(value) if _is_number(value) and math.isfinite(value) else 0


def _value(line: dict, name: str) -> Value | None:
    """A score in a line, with its N and spread if the line has them."""
    if not _is_number(line.get(name)):
        return None
    n, std = line.get(f"{name}_n"), line.get(f"{name}_std")
    return Value(line[name], _count(n), std if _is_number(std) else None)


def _points(line: dict) -> Iterator[tuple[str, Point]]:
    epoch = line["epoch"] if _is_number(line.get("epoch")) else None
    for name in line:
        if name.startswith("real_"):
            continue
        if name not in LABELS and f"{name}_n" not in line:
            continue
        value = _value(line, name)
        if value is not None:
            real = _value(line, f"real_{name}")
            how = _how(line, name, value.n)
            yield name, Point(line["step"], epoch, value, real, how)


def described(value) -> str:
    """A JSON value of a report as text: "step 100, precision float32".

    The digest of encoders that are trained with the GAN is left out, since
    their weights change at each step.
    """
    if not isinstance(value, dict):
        return str(value)
    left_out = {"sha256"} if value.get("tuned_with_gan") else ()
    return ", ".join(
        f"{name.replace('_', ' ')} {item}"
        for name, item in value.items()
        if name not in left_out
    )


def _how(line: dict, name: str, n: int) -> How:
    # Workdirs of version 0.1 have a text under "backend".
    backend = line.get("feature_extractor", line.get("backend", ""))
    if name == "r_precision":
        backend = line.get("encoders", backend)
    elif name.split("_")[0] == "parts":
        backend = line.get("part_classifier", backend)
    elif name in OF_PIXELS:
        backend = NO_NETWORK
    return How(
        line["stage"],
        n,
        described(backend),
        described(line.get("reference", "")),
        _count(line.get("splits")) if name == "inception_score" else 0,
    )


def last_scores(run: Run) -> dict[str, Point]:
    """The scores of the last step that has any, by name.

    They are read from the lines of `evaluate` if there are any, since scores
    during training are of fewer images. The last line of a step counts.
    """
    points = [point for points in run.scores.values() for point in points]
    stages = {point.how.stage for point in points}
    stage = "evaluate" if "evaluate" in stages else "gan"
    step = max((p.step for p in points if p.how.stage == stage), default=None)
    return {
        name: point
        for name, points in run.scores.items()
        for point in points
        if point.how.stage == stage and point.step == step
    }


def series(run: Run, name: str) -> list[Point]:
    """A score over the steps, all measured in the same way.

    If it was measured in several ways, the one with the most steps is used,
    and of equally many the latest. Encoders that are trained with the GAN
    count as one way at all steps. The last line of a step counts.
    """
    ways: dict[How, dict[int, Point]] = {}
    for point in run.scores.get(name, ()):
        # pop moves the way that was used last to the end of the dict.
        steps = ways.pop(point.how, {})
        ways[point.how] = steps | {point.step: point}
    longest = max(reversed(ways.values()), key=len, default={})
    return [longest[step] for step in sorted(longest)]


def labels(runs: Sequence[Run]) -> list[str]:
    """A label for each run: the fields that differ, or the names of runs.

    Names are used if more than DIFFERENCES fields of the configuration differ,
    or if two runs differ in none.
    """
    names = [
        field.name
        for field in dataclasses.fields(Config)
        if not field.metadata["may_change"] and field.name != "encoders"
    ]
    differing = [
        name
        for name in names
        if len({getattr(r.config, name) for r in runs}) > 1
    ]
    found = [
        ", ".join(_field_label(run.config, name) for name in differing)
        for run in runs
    ]
    if not differing or len(differing) > DIFFERENCES:
        return [run.name for run in runs]
    return found if len(set(found)) == len(runs) else [r.name for r in runs]


def _field_label(config: Config, name: str) -> str:
    """Such as lambda 5."""
    value = getattr(config, name)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name.removeprefix('damsm_').replace('_', ' ')} {text}"
