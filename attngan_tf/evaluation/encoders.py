"""The DAMSM's encoders as a backend of scores."""

import tensorflow as tf

from attngan_tf.evaluation import provenance
from attngan_tf.evaluation.features.extractor import Backend
from attngan_tf.text_to_image import Encoders


def encoder_backend(judge: Encoders, picture_size: int) -> Backend:
    """The last average pool of a run's image encoder: pooled [B, C] alone.

    Args:
      judge: the run's encoders.
      picture_size: side of the pictures it is given, which it resizes.
    """
    image_encoder = judge.image_encoder

    def network(images):
        shape = [None, picture_size, picture_size, 3]
        features = image_encoder.backbone_features(
            tf.ensure_shape(images, shape)
        )
        return {"pooled": features["pooled"]}

    step = provenance.encoders_step(judge.config)
    return Backend(
        name=provenance.trunk_name(judge.config, step),
        sha256=provenance.weights_digest(image_encoder.backbone),
        size=picture_size,
        network=network,
    )


def encoders_text(judge: Encoders) -> str:
    """Which encoders they are, whatever folder they lie in: one line."""
    return provenance.encoders_text(
        judge.config,
        provenance.encoders_step(judge.config),
        judge.caption_encoder.text_encoder,
        judge.image_encoder,
    )
