"""The signatures of an exported model, as functions that run in a graph.

All inputs and outputs are batch-major, and no row depends on the others.
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
    """A function of tensors, and the specs of its inputs in order."""

    function: Callable[..., Outputs]
    inputs: list[tf.TensorSpec]


def generator_signatures(model: TextToImage) -> dict[str, Signature]:
    """Signatures that generate images from captions string [B].

    `serving_default` derives the seed of the noise from the caption, so that
    a caption always gives the same image; `generate_png` and `generate` take
    seeds int64 [B]. `generate_with_attention` exists only if the generator
    attends to words.
    """

    def run(captions, seeds):
        outputs = model.from_seeds(captions, seeds)
        return outputs, to_uint8(outputs[model.last_images])

    def generate(captions, seeds):
        _, images = run(captions, seeds)
        return {"images": images}

    def generate_png(captions, seeds):
        _, images = run(captions, seeds)
        return {"image_bytes": tf.io.encode_png(images)}

    def serving_default(captions):
        return generate_png(captions, caption_seeds(captions))

    def generate_from_noise(captions, z, eps):
        return _with_prefix("images_", model.from_noise(captions, z, eps))

    def tokens(outputs):
        ids, lengths = outputs["token_ids"], outputs["lengths"]
        words = model.vocabulary.lookup_words(ids)
        return tf.where(tf.sequence_mask(lengths, ids.shape[1]), words, "")

    def generate_with_attention(captions, seeds):
        outputs, images = run(captions, seeds)
        return {
            "image_bytes": tf.io.encode_png(images),
            "tokens": tokens(outputs),
            "lengths": outputs["lengths"],
            **_with_prefix("attention_", outputs),
        }

    generator = model.generator
    z = tf.TensorSpec([None, generator.z_size], name="z")
    eps = tf.TensorSpec([None, generator.condition_size], name="eps")
    signatures = {
        "serving_default": Signature(serving_default, [CAPTIONS]),
        "generate_png": _aligned(generate_png, CAPTIONS, SEEDS),
        "generate": _aligned(generate, CAPTIONS, SEEDS),
        "generate_from_noise": _aligned(generate_from_noise, CAPTIONS, z, eps),
        "encode_text": Signature(model.encode, [CAPTIONS]),
    }
    if generator.attends:
        signatures["generate_with_attention"] = _aligned(
            generate_with_attention, CAPTIONS, SEEDS
        )
    return signatures


def damsm_signatures(encoders: Encoders) -> dict[str, Signature]:
    """Signatures for features of captions and images, and for their scores."""
    config, caption_encoder, image_encoder = encoders
    encode_text = caption_encoder.encode

    def encode_image(image_bytes):
        squares = decode_squares(
            image_bytes, image_encoder.size, image_encoder.resize
        )
        return image_encoder(squares)

    def match(captions, image_bytes):
        text, image = encode_text(captions), encode_image(image_bytes)
        return pair_scores(config, text, image)

    return {
        "encode_text": Signature(encode_text, [CAPTIONS]),
        "encode_image": Signature(encode_image, [IMAGE_BYTES]),
        "match": _aligned(match, CAPTIONS, IMAGE_BYTES),
    }


def _aligned(
    function: Callable[..., Outputs], *inputs: tf.TensorSpec
) -> Signature:
    """A signature that fails unless its inputs have equal numbers of rows.

    TensorFlow Serving does not compare them: without the check, a caption and
    two seeds would give two images.
    """
    names = ", ".join(spec.name for spec in inputs)
    rule = f"{names} must have equal numbers of rows; received {{}}"

    def checked(*tensors):
        rows = tf.stack([tf.shape(tensor)[0] for tensor in tensors])
        equal = tf.reduce_all(rows == rows[0])
        check = tf.debugging.Assert(equal, [tf.strings.format(rule, rows)])
        with tf.control_dependencies([check]):
            tensors = [tf.identity(tensor) for tensor in tensors]
        return function(*tensors)

    return Signature(checked, list(inputs))


def _with_prefix(prefix: str, outputs: Outputs) -> dict[str, tf.Tensor]:
    return {k: v for k, v in outputs.items() if k.startswith(prefix)}
