"""Parts of the `demo` data set's birds: have they the colours asked for?"""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from attngan_tf.data.demo.builder import PALETTE, PARTS
from attngan_tf.data.demo.captions import asked_colours
from attngan_tf.data.prepared_data import Data
from attngan_tf.evaluation.held_out import HeldOut
from attngan_tf.evaluation.part_classifier import PartClassifier
from attngan_tf.runs.scores import Row, Value

NOT_ASKED = -1
_COLOURS = tuple(PALETTE)


def asked_parts(captions: Sequence[str]) -> np.ndarray:
    """The colours that N captions ask for, int [N, P], by PARTS.

    Indices of PALETTE; NOT_ASKED for parts that the caption does not name.
    """
    found = np.full((len(captions), len(PARTS)), NOT_ASKED)
    for row, caption in zip(found, captions, strict=True):
        for part, colour in asked_colours(caption).items():
            row[PARTS.index(part)] = _COLOURS.index(colour)
    return found


def part_rows(
    asked: np.ndarray, generated: np.ndarray, real: np.ndarray
) -> list[Row]:
    """Percent of named parts in the colour asked for: of all, then of each.

    A part that no caption names has no row.

    Args:
      asked: of N captions, see `asked_parts`.
      generated: colours classified in the images of these captions, int [N, P].
      real: colours classified in the real images described by them, int [N, P].
    """
    named = asked != NOT_ASKED
    rows = []
    for name, label, columns in [
        ("parts", "parts in the colour asked for, %", slice(None)),
        *(
            (f"parts_{x}", f"of these, {x}, %", [i])
            for i, x in enumerate(PARTS)
        ),
    ]:
        chosen = named[:, columns]
        if n := int(chosen.sum()):
            right = [
                (found == asked)[:, columns][chosen].mean()
                for found in (generated, real)
            ]
            values = [Value(100 * float(x), n) for x in right]
            rows.append(Row(name, label, *values))
    return rows


class PartScore:
    """Scores the parts of generated birds beside those of real ones.

    Args:
      data: the prepared demo data.
      held_out: the real images and captions.
      size: side of the generated images; real ones are reduced to it.
      strategy: whose replicas look at generated images.
    """

    def __init__(
        self,
        data: Data,
        held_out: HeldOut,
        size: int,
        strategy: tf.distribute.Strategy,
    ):
        self.classifier = PartClassifier(data, size, strategy)
        self._held_out = held_out
        self._size = size

    @functools.cached_property
    def _real(self) -> np.ndarray:
        return self.classifier.colours(self._held_out.images(self._size))

    def rows(self, captions: np.ndarray, generated: np.ndarray) -> list[Row]:
        """The rows of generated images.

        Args:
          captions: int [N], places among the held-out captions.
          generated: colours classified in their images, int [N, P].
        """
        lines = [self._held_out.lines[i] for i in captions]
        real = self._real[self._held_out.owners[captions]]
        return part_rows(asked_parts(lines), generated, real)
