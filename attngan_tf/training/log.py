"""What a run tells: metrics.jsonl, TensorBoard, sample pictures."""

import json
import os
import time
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from PIL import Image

from attngan_tf import png
from attngan_tf.config import METRICS_FILE


class Log:
    """Writes reports of one stage of a run.

    Args:
      workdir: the run's folder.
      stage: its name, in every report and before every name in TensorBoard.
    """

    def __init__(self, workdir: str, stage: str):
        self.workdir = workdir
        self.stage = stage
        self._summaries = tf.summary.create_file_writer(
            os.path.join(workdir, "tensorboard", stage)
        )
        os.makedirs(os.path.join(workdir, "samples"), exist_ok=True)

    def report(
        self,
        step: int,
        values: Mapping[str, float],
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """Appends one line to metrics.jsonl, and its parts to TensorBoard.

        Args:
          step: of training.
          values: numbers by name.
          texts: what the numbers depend on, by name.
        """
        values = {name: float(value) for name, value in values.items()}
        texts = texts or {}
        line = {"stage": self.stage, "step": step, "time": time.time()}
        path = os.path.join(self.workdir, METRICS_FILE)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**line, **values, **texts}) + "\n")
        with self._summaries.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
            for name, text in texts.items():
                tf.summary.text(name, text, step=step)
        self._summaries.flush()

    def picture(
        self, name: str, step: int, image: Image.Image, **texts
    ) -> None:
        """Writes samples/<stage>_<name>_<step>.png, and TensorBoard's.

        The file tells the step, and the texts (see `png.save`).
        """
        file = f"{self.stage}_{name}_{step:07d}.png"
        path = os.path.join(self.workdir, "samples", file)
        png.save(image, path, **texts, step=step)
        with self._summaries.as_default():
            tf.summary.image(name, np.asarray(image)[None], step=step)
        self._summaries.flush()

    def text(self, name: str, text: str) -> None:
        """Writes a text to TensorBoard."""
        with self._summaries.as_default():
            tf.summary.text(name, text, step=0)

    def graph(self, step, batch) -> None:
        """Writes the graph of a compiled step to TensorBoard."""
        concrete = step.get_concrete_function(batch)
        with self._summaries.as_default():
            tf.summary.graph(concrete.graph)
