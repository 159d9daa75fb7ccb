"""What an exported model answers: the signatures, as functions in graph.

All inputs and outputs are batch-major; no row depends on the others.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from attngan_tf.encoders import CAPTIONS, Encoders, pair_scores
from attngan_tf.sampling import caption_seeds, to_uint8
from attngan_tf.text_to_image import SEEDS, TextToImage
from export.image_bytes import decode_squares

IMAGE_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")

Outputs = Mapping[str, tf.Tensor]


class Signature(NamedTuple):
    """A function of tensors, and what it takes, in order."""

    function: Callable[..., Outputs]
    inputs: list[tf.TensorSpec]


def generator_signatures(model: TextToImage) -> dict[str, Signature]:
    """Pictures for captions: string [B], with seeds int64 [B].

    `serving_default` seeds the noise by the caption: the same caption, the
    same picture. `generate_with_attention` is there where the generator
    attends to words.
    """

    def draw(captions, seeds):
        outputs = model.from_seeds(captions, seeds)
        return outputs, to_uint8(outputs[model.last_images])

    def generate(captions, seeds):
        _, images = draw(captions, seeds)
        return {"images": images}

    def generate_png(captions, seeds):
        _, images = draw(captions, seeds)
        return {"image_bytes": tf.io.encode_png(images)}

    def serving_default(captions):
        return generate_png(captions, caption_seeds(captions))

    def generate_from_noise(captions, z, eps):
        return _named("images_", model.from_noise(captions, z, eps))

    def generate_with_attention(captions, seeds):
        outputs, images = draw(captions, seeds)
        return {
            "image_bytes": tf.io.encode_png(images),
            "tokens": _tokens(model, outputs),
            "lengths": outputs["lengths"],
            **_named("attention_", outputs),
        }

    z = _rows(model.generator.z_size, "z")
    eps = _rows(model.generator.condition_size, "eps")
    found = {
        "serving_default": Signature(serving_default, [CAPTIONS]),
        "generate_png": Signature(generate_png, [CAPTIONS, SEEDS]),
        "generate": Signature(generate, [CAPTIONS, SEEDS]),
        "generate_from_noise": Signature(
            generate_from_noise, [CAPTIONS, z, eps]
        ),
        "encode_text": Signature(model.encode, [CAPTIONS]),
    }
    if model.generator.attends:
        found["generate_with_attention"] = Signature(
            generate_with_attention, [CAPTIONS, SEEDS]
        )
    return found


def damsm_signatures(encoders: Encoders) -> dict[str, Signature]:
    """Features of captions and of pictures, and how well pairs fit."""
    config, caption_encoder, image_encoder = encoders
    encode_text = caption_encoder.encode

    def encode_image(image_bytes):
        return image_encoder(
            decode_squares(
                image_bytes, image_encoder.size, image_encoder.resize
            )
        )

    def match(captions, image_bytes):
        text, image = encode_text(captions), encode_image(image_bytes)
        return pair_scores(config, text, image)

    return {
        "encode_text": Signature(encode_text, [CAPTIONS]),
        "encode_image": Signature(encode_image, [IMAGE_BYTES]),
        "match": Signature(match, [CAPTIONS, IMAGE_BYTES]),
    }


def _rows(size: int, name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None, size], tf.float32, name=name)


def _named(prefix: str, outputs: Outputs) -> dict[str, tf.Tensor]:
    return {k: v for k, v in outputs.items() if k.startswith(prefix)}


def _tokens(model: TextToImage, outputs: Outputs) -> tf.Tensor:
    """The words that were used: string [B, T], empty behind the end."""
    ids, lengths = outputs["token_ids"], outputs["lengths"]
    words = model.vocabulary.lookup_words(ids)
    return tf.where(tf.sequence_mask(lengths, ids.shape[1]), words, "")
