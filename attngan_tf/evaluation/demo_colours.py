"""Whether generated birds of `--dataset=demo` have the right colours."""

import numpy as np

from attngan_tf.data import views
from attngan_tf.data.demo import builder
from attngan_tf.data.demo.builder import PALETTE, PARTS
from attngan_tf.data.demo.captions import asked_colours
from attngan_tf.data.views import Records
from attngan_tf.evaluation.batches import BATCH
from attngan_tf.evaluation.metrics.colour import colour_accuracy
from attngan_tf.evaluation.metrics.metric import PART_COLOURS, Metric
from attngan_tf.runs.scores import Row, Value
from attngan_tf.sampling import to_uint8

CAPTIONS = 330  # of one-coloured birds: 30 for each colour of the palette
MIN_SIZE = 16  # smallest side of an image in which a bird can be found
NOT_NAMED = -1
_COLOURS = tuple(PALETTE)


class _DemoMetric(Metric):
    """A metric of the demo data's birds."""

    @classmethod
    def missing(cls, config, extractor):
        size = config.image_sizes[-1]
        if config.dataset == "demo" and size >= MIN_SIZE:
            return ""
        return (
            f"applies to --dataset=demo with images of {MIN_SIZE} pixels or "
            f"more; received {config.dataset} and {size} pixels; "
            "leave the metric out"
        )


class ColourMetric(_DemoMetric):
    """Percent of birds described by one colour that have this colour.

    It generates images for captions of its own. The real score is that of the
    split's real birds of one colour.
    """

    def rows(self, features):
        evaluator = self.evaluator
        count = min(evaluator.num_images, CAPTIONS)
        pairs = builder.single_colour_captions(count, seed=0)
        captions, asked = zip(*pairs, strict=True)
        images = evaluator.model.images(captions, range(len(captions)))
        generated = colour_accuracy(images, asked, PALETTE)
        images, shown = _real_birds(evaluator.held_out.records, evaluator.size)
        real = colour_accuracy(images, shown, PALETTE)
        return [
            Row(
                "colour",
                "birds in the requested colour, %",
                Value(100 * generated, len(asked)),
                Value(100 * real, len(shown)),
            )
        ]


def _real_birds(records: Records, size: int) -> tuple[np.ndarray, list[str]]:
    """Images of birds of one colour, uint8 [N, S, S, 3]; their colours."""
    names = builder.single_colour_classes()
    class_ids = records.class_ids().tolist()
    indices = [i for i, k in enumerate(class_ids) if k in names]
    batches = views.centre_views(records, (size,), BATCH, indices)
    images = [to_uint8(batch[f"images_{size}"]).numpy() for batch in batches]
    return np.concatenate(images), [names[class_ids[i]] for i in indices]


class PartsMetric(_DemoMetric):
    """Percent of parts that have the colours named in their captions.

    `PartClassifier` classifies the colours. The real score is that of the real
    images of the same captions.
    """

    needs = PART_COLOURS

    def rows(self, features):
        evaluator, held_out = self.evaluator, self.evaluator.held_out
        captions = held_out.caption_rows(self.count)
        real = evaluator.part_classifier.colours(
            held_out.images(evaluator.size)
        )
        return part_rows(
            named_colours([held_out.lines[i] for i in captions]),
            features,
            real[held_out.owners[captions]],
        )

    def conditions(self):
        return {"part_classifier": self.evaluator.part_classifier.provenance}


def named_colours(captions) -> np.ndarray:
    """The colours that N captions name for each of PARTS, int [N, P].

    They are indices of PALETTE, or NOT_NAMED for parts without a colour.
    """
    found = np.full((len(captions), len(PARTS)), NOT_NAMED)
    for row, caption in zip(found, captions, strict=True):
        for part, colour in asked_colours(caption).items():
            row[PARTS.index(part)] = _COLOURS.index(colour)
    return found


def part_rows(
    asked: np.ndarray, generated: np.ndarray, real: np.ndarray
) -> list[Row]:
    """Percent of named parts in the right colour: all parts, then each kind.

    A part that no caption names has no row.

    Args:
      asked: colours that N captions name, int [N, P]; see `named_colours`.
      generated: colours classified in the images of these captions, int [N, P].
      real: colours classified in the real images described by them, int [N, P].
    """
    named = asked != NOT_NAMED
    columns = {"parts": slice(None)}
    columns |= {f"parts_{part}": [i] for i, part in enumerate(PARTS)}
    rows = []
    for name, part in columns.items():
        chosen = named[:, part]
        if n := int(chosen.sum()):
            values = [
                Value(100 * float((found == asked)[:, part][chosen].mean()), n)
                for found in (generated, real)
            ]
            kind = name.removeprefix("parts_")
            rows.append(
                Row(name, f"{kind} in the requested colour, %", *values)
            )
    return rows
