"""Birds of the `demo` data set: did they come out in the colour asked for?"""

import numpy as np

from attngan_tf.data import views
from attngan_tf.data.demo import builder
from attngan_tf.data.views import Records
from attngan_tf.evaluation.generated import BATCH
from attngan_tf.evaluation.metrics.colour import colour_accuracy
from attngan_tf.runs.scores import Row, Value
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage

CAPTIONS = 330  # 30 for each colour of the palette


def asked_colours(
    model: TextToImage, records: Records, size: int, most: int
) -> Row:
    """Percent of one-coloured birds in the colour asked for.

    Args:
      model: draws birds.
      records: real ones, to compare with.
      size: side of both, in pixels.
      most: birds to draw at most.
    """
    pairs = builder.single_colour_captions(min(most, CAPTIONS), seed=0)
    captions, asked = zip(*pairs, strict=True)
    images = model.generate(captions, range(len(captions)))
    share = colour_accuracy(images, asked, builder.PALETTE)
    images, shown = _real_birds(records, size)
    real = colour_accuracy(images, shown, builder.PALETTE)
    return Row(
        "colour",
        "birds in the one colour asked for, %",
        Value(100 * share, len(asked)),
        Value(100 * real, len(shown)),
    )


def _real_birds(records: Records, size: int) -> tuple[np.ndarray, list[str]]:
    """Pictures of one-coloured birds, uint8, and their colours."""
    names = builder.single_colour_classes()
    class_ids = records.class_ids().tolist()
    places = [i for i, k in enumerate(class_ids) if k in names]
    batches = views.centre_views(records, (size,), BATCH, places)
    images = [to_uint8(batch[f"images_{size}"]).numpy() for batch in batches]
    return np.concatenate(images), [names[class_ids[i]] for i in places]
