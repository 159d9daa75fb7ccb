"""A step of encoder training equals the reference's, in float64.

The reference has two biases for each gate, which are only ever added. Both
would take the step, and both would count for the norm that the gradient is
clipped by: one of them is not trained.
"""

import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.models import build
from attngan_tf.pretrained import layouts
from attngan_tf.training import damsm_trainer
from tests.reference import files, networks, training
from tests.reference.paired_step import CLASSES, LENGTHS, SIZES, T, keras_batch
from tests.reference.pairing import (
    arrays,
    difference,
    double_precision,
    give,
    give_fused,
    released,
    shared_inception,
)

TOLERANCE = 1e-7  # some constants are float32 numbers


def our_step(reference: networks.Networks):
    """The project's step with the reference's weights, and its layouts."""
    config = released("cub", SIZES, damsm_dropout=0.0)
    text = build.text_encoder(config, SIZES["vocabulary_size"])
    with shared_inception():
        image = build.image_encoder(config, None)
    parts = layouts.text_encoder(text), layouts.image_encoder(image)
    give(parts[0], reference.text_encoder)
    give(parts[1], reference.image_encoder)
    give_fused(image, reference.image_encoder)
    return damsm_trainer.damsm_step(config, text, image, 1.0), parts


def state(by_network) -> dict[str, np.ndarray]:
    """Weights by published name; for biases that are added, their sum."""
    found = {k: v for state in by_network for k, v in state.items()}
    for name in [name for name in found if "bias_ih" in name]:
        found[name] = found[name] + found.pop(name.replace("_ih_", "_hh_"))
    return found


@pytest.fixture(scope="module")
def taken():
    """What weights moved by, in both implementations, and the terms."""
    with double_precision():
        reference = networks.build(SIZES)
        ours, parts = our_step(reference)
        for name, value in reference.text_encoder.named_parameters():
            value.requires_grad_("bias_hh" not in name)
        step = training.DamsmStep(*reference[:2])
        size = SIZES["image_encoder_size"]
        batch = training.random_batch(SIZES, LENGTHS, T, (size,), seed=1)

        def now():
            return (
                state(map(layouts.state_of, parts)),
                state(arrays(files.state(x)) for x in reference[:2]),
            )

        before = now()
        shape = (*batch["token_ids"].shape, SIZES["embedding_size"])
        terms = (
            ours(
                keras_batch(batch)
                | {"dropout_draws": tf.zeros(shape, tf.float64)}
            ),
            step(batch | {"class_ids": CLASSES}),
        )
        moves = [
            {name: new[name] - old[name] for name in new}
            for old, new in zip(before, now(), strict=True)
        ]
    return moves, terms


def test_terms_equal_those_of_the_reference(taken):
    ours, reference = taken[1]
    for name, value in reference.items():
        assert float(ours[name]) == pytest.approx(value, rel=1e-9)


def test_updates_equal_those_of_the_reference(taken):
    ours, reference = taken[0]
    moved = {name for name, move in reference.items() if np.any(move)}
    assert len(moved) == 1 + 6 + 3  # embedding; LSTM both ways; projections
    assert {name for name, move in ours.items() if np.any(move)} == moved
    for name in moved:
        assert difference(ours[name], reference[name]) < TOLERANCE, name
