"""Derives sizes and settings of published networks from tensors' shapes."""

from collections.abc import Mapping, Sequence

import numpy as np

from attngan_tf.data.tokenizer import tokenize
from attngan_tf.errors import UserError

State = Mapping[str, np.ndarray]

# Released settings of each data set that differ from `Config`'s defaults. A
# generator of another size has those of its vocabulary; own data has CUB's.
_CUB = {"damsm_same_class_mask": True}
_COCO = {
    "damsm_lambda": 50.0,
    "batch_size": 14,
    "gan_epochs": 120,
    "damsm_epochs": 100,
    "words_num": 12,
    "words_num_test": 20,
}
_SETTINGS = {"cub": _CUB, "coco": _COCO, "folder": _CUB}
# Whose settings: GF and residual blocks of the published generators. AttnDCGAN
# has no blocks.
_GENERATORS = {(32, 2): "cub", (48, 3): "coco", (32, 0): "cub", (48, 0): "coco"}
# Which data: the number of words of the published vocabularies. Models of other
# data often have a published generator's size.
VOCABULARIES = {5450: "cub", 27297: "coco"}
RELEASED = {
    "image_encoder": "inception_v3",
    "inception_weights": "none",
    "image_region_layer": "mixed7",
    "inception_padding": "torch",
    "image_encoder_resize": "aligned_corners",
    "damsm_gamma1": 4.0,
    "damsm_batch_size": 48,
    "word_score": "released",
    "gan_loss_scale": "released",
    "gan_mismatched_pairs": True,
}


def fields(text: State, image: State | None, generator: State) -> dict:
    """Fields of the `Config` of a published model, from its tensors.

    Args:
      text: tensors of the text encoder.
      image: those of the image encoder; None: there is none.
      generator: those of the generator.

    Raises:
      UserError: they do not belong to one model of the released code.
    """
    V, embedding = _shape(text, "encoder.weight", 2, "--text_encoder")
    rows, hidden = _shape(text, "rnn.weight_hh_l0", 2, "--text_encoder")
    if rows == 3 * hidden:
        raise UserError(
            "--text_encoder must be an LSTM (RNN_TYPE LSTM in the released "
            "code); received a GRU, which this project does not have; convert "
            "a model that was trained with an LSTM"
        )
    found = _generator(generator, "--generator")
    sizes = {"text encoder": 2 * hidden, "generator": found["feature_size"]}
    if image is not None:
        name = "emb_cnn_code.weight"
        sizes["image encoder"], _ = _shape(image, name, 2, "--image_encoder")
    if len({*sizes.values()}) > 1:
        received = (f"{size} of the {name}" for name, size in sizes.items())
        raise UserError(
            "the files must be of one model: features of equal size; received "
            f"{', '.join(received)}"
        )
    blocks = found.get("residual_blocks", 0)
    dataset = VOCABULARIES.get(V, "folder")
    like = _GENERATORS.get((found["gf"], blocks), dataset)
    if dataset not in (like, "folder"):
        raise UserError(
            f"the files must be of one model; received {dataset}'s "
            f"vocabulary of {V} words and {like}'s generator"
        )
    settings = RELEASED | _SETTINGS[like] | found
    if found["generator"] == "attndcgan":
        settings["damsm_lambda"] = 1.0
    return settings | {"dataset": dataset, "embedding_size": embedding}


def unreachable_words(
    words: Sequence[str], tokenizer: str = "ascii"
) -> list[str]:
    """The words that no caption can name, since the tokenizer changes them.

    Args:
      words: a vocabulary, whose first word is the padding.
      tokenizer: see `tokenize`.
    """
    found = tokenize(list(words[1:]), tokenizer).to_list()
    return [
        word
        for word, tokens in zip(words[1:], found, strict=True)
        if tokens != [word.encode()]
    ]


def discriminator_size(state: State, file: str) -> int:
    """Side of a discriminator's images, in pixels."""
    _shape(state, "img_code_s16.0.weight", 4, file)
    if "img_code_s64.0.weight" in state:
        return 256
    return 128 if "img_code_s32.0.weight" in state else 64


def width(discriminator: State) -> int:
    """DF of a discriminator."""
    return len(discriminator["img_code_s16.0.weight"])


def _generator(state: State, file: str) -> dict:
    dcgan = "img_net.img.0.weight" in state
    head = f"img_net{'' if dcgan else 1}.img.0.weight"
    wide, D = _shape(state, "ca_net.fc.weight", 2, file)
    _, inputs = _shape(state, "h_net1.fc.0.weight", 2, file)
    _, gf, _, _ = _shape(state, head, 4, file)
    found = {
        "gf": gf,
        "df": 2 * gf,
        "feature_size": D,
        "condition_size": wide // 4,
        "z_size": inputs - wide // 4,
        "num_stages": 1 + _count(state, 2, "h_net{}.upsample.1.weight"),
        "base_size": 4 * 2 ** _count(state, 1, "h_net1.upsample{}.1.weight"),
        "generator": "attndcgan" if dcgan else "attngan",
    }
    if not dcgan:
        name = "h_net2.residual.{}.block.0.weight"
        found["residual_blocks"] = _count(state, 0, name)
    return found


def _count(state: State, first: int, pattern: str) -> int:
    """Number of names, counted from `first`."""
    number = first
    while pattern.format(number) in state:
        number += 1
    return number - first


def _shape(state: State, name: str, rank: int, file: str) -> tuple[int, ...]:
    if name not in state or state[name].ndim != rank:
        received = f"{len(state)} tensors: {', '.join(list(state)[:3])}, ..."
        if name in state:
            received = f"shape {list(state[name].shape)}"
        raise UserError(
            f"{file} must hold {name} of {rank} dimensions; received "
            f"{received}; check that it is the file of this network"
        )
    return state[name].shape
