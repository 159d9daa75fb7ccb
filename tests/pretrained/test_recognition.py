"""Sizes and settings of published models, from the shapes of tensors alone."""

import dataclasses

import numpy as np
import pytest
import torch

from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.pretrained import recognition
from tests.reference import networks
from tests.reference.networks import COCO, CUB, TINY
from tests.reference.pairing import released


def shapes(make, *arguments):
    """Arrays of a network's shapes that take no memory."""
    with torch.device("meta"):
        state = make(*arguments).state_dict()
    zero = np.zeros([], np.float32)
    return {k: np.broadcast_to(zero, tuple(v.shape)) for k, v in state.items()}


def text_encoder(sizes):
    return shapes(networks.TextEncoder, sizes)


def image_encoder(sizes):
    return shapes(networks.ImageEncoder, sizes["feature_size"], 299)


def generator(sizes, dcgan=False):
    return shapes(networks.Generator, sizes, dcgan)


def fields(sizes, dcgan=False):
    return recognition.fields(
        text_encoder(sizes), image_encoder(sizes), generator(sizes, dcgan)
    )


@pytest.mark.parametrize(("dataset", "sizes"), [("cub", CUB), ("coco", COCO)])
def test_published_sizes_give_the_released_settings(dataset, sizes):
    found = Config(workdir="w", **fields(sizes))
    expected = dataclasses.replace(
        released(dataset, {}), workdir="w", inception_weights="none"
    )
    assert found == expected


@pytest.mark.parametrize(("words", "sizes"), [(18, CUB), (12, COCO)])
def test_other_vocabularies_are_own_data(words, sizes):
    """The generator's size tells the settings, not the data."""
    found = fields(sizes | {"vocabulary_size": 75})
    assert found["dataset"] == "folder"
    assert Config(workdir="w", **found).words_num == words


def test_published_vocabulary_is_evidence_for_any_generator():
    found = fields(TINY | {"vocabulary_size": 27297})
    assert (found["dataset"], found["words_num"]) == ("coco", 12)


def test_gru_is_named():
    gru = torch.nn.GRU(8, 8, batch_first=True, bidirectional=True)
    state = {f"rnn.{k}": v.detach().numpy() for k, v in gru.named_parameters()}
    state |= {"encoder.weight": np.zeros([20, 8])}
    with pytest.raises(UserError, match=r"RNN_TYPE LSTM.*a GRU") as raised:
        recognition.fields(state, None, generator(TINY))
    assert "\n" not in str(raised.value)


def test_words_that_the_tokenizer_changes_cannot_be_reached():
    words = ["<end>", "bird", "Bird", "caf\u00e9", "two-tone", "\u9e1f"]
    assert recognition.unreachable_words(words) == words[2:]
    assert recognition.unreachable_words(words[:2]) == []
    found = recognition.unreachable_words(words, "unicode")
    assert found == ["Bird", "two-tone"]


def test_attndcgan_is_recognized():
    found = fields(CUB, dcgan=True)
    assert found["generator"] == "attndcgan"
    assert found["damsm_lambda"] == 1.0
    assert found["dataset"] == "cub"


def test_other_sizes_are_taken_as_own_data():
    found = fields(TINY)
    assert found["dataset"] == "folder"
    for name in ("gf", "z_size", "condition_size", "residual_blocks"):
        assert found[name] == TINY[name]
    assert found["num_stages"] == 3
    assert found["base_size"] == 64


def test_files_of_different_models_are_refused():
    text, image = text_encoder(TINY), image_encoder(TINY)
    with pytest.raises(UserError, match="received 16 of the text encoder, 256"):
        recognition.fields(text, image, generator(CUB))
    with pytest.raises(UserError, match="cub's vocabulary of 5450 words and c"):
        recognition.fields(
            text_encoder(CUB), image_encoder(CUB), generator(COCO)
        )
    with pytest.raises(UserError, match="--text_encoder must hold encoder"):
        recognition.fields(image, image, image)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_size_and_width_of_discriminators(size):
    state = shapes(networks.Discriminator, TINY, size)
    assert recognition.discriminator_size(state, "f") == size
    assert recognition.width(state) == 4
