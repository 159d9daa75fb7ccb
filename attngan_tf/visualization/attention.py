"""The attention figure (Fig. 4) of generated images."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage
from attngan_tf.visualization import figures


def attention_figure(
    model: TextToImage, outputs: Mapping[str, np.ndarray], row: int
) -> Image.Image | None:
    """The paper's Fig. 4 for one row of what `TextToImage.outputs` returns.

    Returns None if no stage attends to words.
    """
    names = [name for name in outputs if name.startswith("attention_")]
    if not names:
        return None
    length = outputs["lengths"][row]
    token_ids = outputs["token_ids"][row][:length]
    words = [model.vocabulary.words[i] for i in token_ids]
    images = [
        to_uint8(outputs[f"images_{size}"][row]).numpy()
        for size in model.generator.image_sizes
    ]
    maps = [outputs[name][row].transpose(1, 2, 0) for name in names]
    return figures.attention_figure(images, maps, words)
