"""Scores each checkpoint of a run while it is trained."""

import os
import time
from collections.abc import Callable, Collection, Mapping

from attngan_tf.config import METRICS_FILE
from attngan_tf.errors import UserError
from attngan_tf.runs import checkpoint
from attngan_tf.runs.reports import read_reports
from attngan_tf.runs.workdir import DONE_FILE


def is_scored(
    workdir: str,
    step: int,
    metrics: Collection[str],
    conditions: Mapping[str, object],
) -> bool:
    """Whether metrics.jsonl has these scores of a step and its conditions."""
    return any(
        report["stage"] == "evaluate"
        and report["step"] == step
        and set(metrics) <= set(str(report.get("metrics")).split(","))
        and all(report.get(name) == x for name, x in conditions.items())
        for report in read_reports(os.path.join(workdir, METRICS_FILE), [])
    )


def follow(
    workdir: str, score: Callable[[int], None], wait_seconds: float
) -> None:
    """Calls `score` with the step of every checkpoint, until the run is done.

    A checkpoint that is deleted before it is scored is skipped and reported.

    Args:
      workdir: a run's folder.
      score: scores a step, unless it was scored before.
      wait_seconds: between two searches for new checkpoints.
    """
    seen = set()
    while True:
        # Checked before the search: the last checkpoint precedes DONE.
        done = os.path.exists(os.path.join(workdir, DONE_FILE))
        steps = checkpoint.steps(workdir, "gan")
        for step in [step for step in steps if step not in seen]:
            seen.add(step)
            try:
                score(step)
            except UserError:
                if step in checkpoint.steps(workdir, "gan"):
                    raise
                print(f"step {step}: deleted before it was scored")
        if done:
            return
        time.sleep(wait_seconds)
