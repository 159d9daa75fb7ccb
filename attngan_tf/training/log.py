"""Reports of a run: metrics.jsonl, TensorBoard, sample images."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from PIL import Image

from attngan_tf.config import METRICS_FILE
from attngan_tf.io import png
from attngan_tf.io.disk import writing
from attngan_tf.runs.reports import described

RETAINED = "the checkpoints are retained"


class Log:
    """Writes reports of one stage of a run.

    Args:
      workdir: the run's folder.
      stage: the stage's name, which is in each line of metrics.jsonl and is
        the name of the TensorBoard folder.
    """

    def __init__(self, workdir: str, stage: str):
        self.workdir = workdir
        self.stage = stage
        with writing("reports", workdir):
            self._summaries = tf.summary.create_file_writer(
                os.path.join(workdir, "tensorboard", stage)
            )
            os.makedirs(os.path.join(workdir, "samples"), exist_ok=True)

    def report(
        self,
        step: int,
        values: Mapping[str, float],
        conditions: Mapping | None = None,
    ) -> None:
        """Appends one line to metrics.jsonl, and its values to TensorBoard.

        Args:
          step: step of training.
          values: numbers by name.
          conditions: what the numbers depend on, as JSON values by name.
        """
        values = {name: float(value) for name, value in values.items()}
        conditions = conditions or {}
        line = {"stage": self.stage, "step": step, "time": time.time()}
        path = os.path.join(self.workdir, METRICS_FILE)
        with self._writing(), self._summaries.as_default():
            _append(path, json.dumps({**line, **values, **conditions}) + "\n")
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
            for name, value in conditions.items():
                tf.summary.text(name, described(value), step=step)

    def image(self, name: str, step: int, image: Image.Image, **texts) -> None:
        """Writes an image to samples/<stage>_<name>_<step>.png and TensorBoard.

        The file also stores the step and the texts (see `png.save`).
        """
        file = f"{self.stage}_{name}_{step:07d}.png"
        path = os.path.join(self.workdir, "samples", file)
        with (
            self._writing("sample images"),
            self._summaries.as_default(),
        ):
            png.save(image, path, **texts, step=step)
            tf.summary.image(name, np.asarray(image)[None], step=step)

    def text(self, name: str, text: str) -> None:
        """Writes a text to TensorBoard."""
        with self._writing(), self._summaries.as_default():
            tf.summary.text(name, text, step=0)

    def graph(self, graph: tf.Graph) -> None:
        """Writes the graph of a compiled step to TensorBoard."""
        with self._writing(), self._summaries.as_default():
            tf.summary.graph(graph)

    @contextlib.contextmanager
    def _writing(self, what: str = "reports") -> Iterator[None]:
        """Flushes the summaries; only then does a full disk raise an error."""
        with writing(what, self.workdir, RETAINED):
            yield
            self._summaries.flush()


def _append(path: str, line: str) -> None:
    """Appends a line; first ends the truncated last line of a killed run."""
    with open(path, "ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")
        file.write(line.encode())
