"""A step of encoder training is the peer's, in float64.

The peer has two biases for each gate, which are only ever added. Both would
take the step, and both count for the norm that the gradient is clipped by:
one of them is left out.
"""

import numpy as np
import pytest
import tensorflow as tf
from double_precision import double_precision, give_folded
from paired import arrays, channels_last, difference, give, released
from peers import batches, damsm_step, files, networks
from twins import BETA2, CLASSES, EPSILON, LENGTHS, TABLE, T

from attngan_tf.models import build
from attngan_tf.pretrained import layouts
from attngan_tf.training import damsm_trainer

EXACT = 1e-7  # some constants are float32 numbers


def our_step(peers: networks.Networks):
    """The step here, with the peers' weights, and its layouts."""
    config = released("cub", TABLE, damsm_dropout=0.0)
    text = build.text_encoder(config, TABLE["vocabulary_size"])
    image = build.image_encoder(config, None)
    parts = layouts.text_encoder(text), layouts.image_encoder(image)
    give(parts[0], peers.text_encoder)
    give(parts[1], peers.image_encoder)
    give_folded(image, peers.image_encoder)
    return damsm_trainer.damsm_step(config, text, image, 1.0), parts


def our_batch(batch: dict) -> dict:
    pictures = tf.constant(channels_last(batch["images"][0]))
    shape = [*batch["token_ids"].shape, TABLE["embedding_size"]]
    return {
        f"images_{TABLE['trunk_size']}": pictures,
        "token_ids": tf.constant(batch["token_ids"].numpy(), tf.int32),
        "lengths": tf.constant(LENGTHS.numpy(), tf.int32),
        "class_id": tf.constant(CLASSES.numpy()),
        "dropout_draws": tf.zeros(shape, tf.float64),
    }


def state(side) -> dict[str, np.ndarray]:
    """Weights by published name; biases that are added, as their sum."""
    found = {}
    for by_name in side:
        for name, value in by_name.items():
            if "_hh_" not in name or "bias" not in name:
                found[name] = value
    for name in [name for name in found if "bias_ih" in name]:
        other = side[0][name.replace("_ih_", "_hh_")]
        found[name] = found[name] + other
    return found


@pytest.fixture(scope="module")
def taken():
    """What weights moved by, here and there, and both sides' terms."""
    with double_precision():
        peers = networks.build(TABLE)
        ours, parts = our_step(peers)
        peers.text_encoder.drop.p = 0.0
        for name, value in peers.text_encoder.named_parameters():
            value.requires_grad_("bias_hh" not in name)
        theirs = damsm_step.DamsmStep(peers.text_encoder, peers.image_encoder)
        # PyTorch until 1.2: epsilon beside the uncorrected root.
        theirs.adam.param_groups[0]["eps"] = EPSILON / (1 - BETA2) ** 0.5
        batch = batches.random_batch(
            TABLE, LENGTHS, T, (TABLE["trunk_size"],), seed=1
        ) | {"class_ids": CLASSES}

        def now():
            return (
                state([layouts.state_of(part) for part in parts]),
                state([arrays(files.state(x)) for x in peers[:2]]),
            )

        before = now()
        terms = ours(our_batch(batch)), theirs(batch)
        moves = [
            {name: new[name] - old[name] for name in new}
            for old, new in zip(before, now(), strict=True)
        ]
    return moves, terms


def test_terms(taken):
    ours, theirs = taken[1]
    names = {
        "w_text": "words_image_to_text",
        "w_image": "words_text_to_image",
        "s_text": "sentences_image_to_text",
        "s_image": "sentences_text_to_image",
    }
    for name, other in names.items():
        assert float(ours[other]) == pytest.approx(theirs[name], rel=1e-9)


def test_updates(taken):
    ours, theirs = taken[0]
    moved = {name for name, move in theirs.items() if np.any(move)}
    assert len(moved) == 1 + 6 + 3  # embedding; LSTM both ways; projections
    assert {name for name, move in ours.items() if np.any(move)} == moved
    for name in moved:
        assert difference(ours[name], theirs[name]) < EXACT, name
