"""Configurations and scores of runs, read from their workdirs."""

import collections
import json
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
    "frechet": "FID",
    "kid": "KID",
    "diversity_one_caption": "pixel distance of one caption",
    "diversity_one_caption_smallest": "smallest pixel distance of one caption",
    "diversity_captions": "pixel distance of different captions",
    "colour": "birds in the requested colour (%)",
    "parts": "parts in the requested colour (%)",
}
STAGES = ("gan", "evaluate")  # whose lines hold scores of generated images


class How(NamedTuple):
    """How a score was measured; scores are comparable if all fields are equal.

    Fields that the line lacks are "" or 0.
    """

    n: int
    # R-precision: the encoders; parts: their classifier; scores of pixels:
    # none; other scores: the feature extractor.
    network: str
    reference: str
    splits: int  # of the Inception score; 0 for others


class Point(NamedTuple):
    """A score of a run at one step of its GAN."""

    stage: str  # "gan" during training; "evaluate"
    step: int
    epoch: float | None
    generated: Value
    real: Value | None  # the same score of real images
    how: How


class Run(NamedTuple):
    """What a workdir holds."""

    name: str  # of the folder, or its path if several have the same name
    config: Config
    scores: dict[str, list[Point]]  # by name, in the order of writing
    faults: list[str]  # descriptions of lines that cannot be read


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


def _value(line: dict, name: str) -> Value | None:
    """A score in a line, with its N and spread if the line has them."""
    if not isinstance(line.get(name), int | float):
        return None
    n = int(line.get(f"{name}_n", 0))
    return Value(line[name], n, line.get(f"{name}_std"))


def _points(line: dict) -> Iterator[tuple[str, Point]]:
    for name in line:
        if name not in LABELS and f"{name}_n" not in line:
            continue
        value = _value(line, name)
        if value is not None and not name.startswith("real_"):
            real, how = _value(line, f"real_{name}"), _how(line, name, value.n)
            epoch = line.get("epoch")
            yield (
                name,
                Point(line["stage"], line["step"], epoch, value, real, how),
            )


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
    network = line.get("feature_extractor", line.get("backend", ""))
    if name == "r_precision":
        network = line.get("encoders", network)
    elif name.startswith("parts"):
        network = line.get("part_classifier", network)
    elif name.startswith(("diversity", "colour")):
        network = "none, pixels alone"
    splits = line.get("splits", 0) if name == "inception_score" else 0
    reference = described(line.get("reference", ""))
    return How(n, described(network), reference, int(splits))


def last_scores(run: Run) -> dict[str, Point]:
    """The scores of the last step that has any, by name.

    They are read from the lines of `evaluate` if there are any, since scores
    during training are of fewer images. The last line of a step counts.
    """
    points = [point for points in run.scores.values() for point in points]
    stages = {point.stage for point in points}
    stage = "evaluate" if "evaluate" in stages else "gan"
    step = max((p.step for p in points if p.stage == stage), default=None)
    return {
        name: point
        for name, points in run.scores.items()
        for point in points
        if point.stage == stage and point.step == step
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
