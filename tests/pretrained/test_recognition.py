"""Sizes of published models, from shapes alone."""

import dataclasses

import numpy as np
import pytest
import torch
from paired import released
from peers import networks, sizes

from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.pretrained import recognition


def shapes(make, *arguments):
    """Arrays of a network's shapes that take no memory."""
    with torch.device("meta"):
        state = make(*arguments).state_dict()
    zero = np.zeros([], np.float32)
    return {k: np.broadcast_to(zero, tuple(v.shape)) for k, v in state.items()}


def fields(table, dcgan=False):
    return recognition.fields(
        shapes(networks.text_encoder, table),
        shapes(networks.image_encoder, table),
        shapes(networks.generator, table, dcgan),
    )


@pytest.mark.parametrize("dataset", ["cub", "coco"])
def test_published_sizes_give_the_released_settings(dataset):
    table = {"cub": sizes.CUB, "coco": sizes.COCO}[dataset]
    found = Config(workdir="w", **fields(table))
    wanted = dataclasses.replace(
        released(dataset, table), workdir="w", inception_weights="none"
    )
    assert found == wanted


def test_attndcgan_is_recognised():
    found = fields(sizes.CUB, dcgan=True)
    assert found["generator"] == "attndcgan"
    assert found["damsm_lambda"] == 1.0
    assert found["dataset"] == "cub"


def test_other_sizes_are_of_own_data():
    found = fields(sizes.TINY)
    assert found["dataset"] == "folder"
    for name in ("gf", "z_size", "condition_size", "residual_blocks"):
        assert found[name] == sizes.TINY[name]
    assert found["num_stages"] == 3
    assert found["base_size"] == 64


def test_files_of_several_models_are_refused():
    text = shapes(networks.text_encoder, sizes.TINY)
    image = shapes(networks.image_encoder, sizes.TINY)
    with pytest.raises(UserError, match="received 16 of the text encoder, 16"):
        recognition.fields(text, image, shapes(networks.generator, sizes.CUB))
    cub, coco = sizes.CUB, sizes.COCO
    with pytest.raises(UserError, match="cub's vocabulary of 5450 words and c"):
        recognition.fields(
            shapes(networks.text_encoder, cub),
            shapes(networks.image_encoder, cub),
            shapes(networks.generator, coco),
        )
    with pytest.raises(UserError, match="--text_encoder must hold encoder"):
        recognition.fields(image, image, image)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_discriminators_are_told_apart(i):
    def make(table):
        return networks.discriminators(table)[i]

    state = shapes(make, sizes.TINY)
    assert recognition.discriminator_size(state, "f") == 64 * 2**i
    assert recognition.width(state) == 4
