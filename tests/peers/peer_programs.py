"""What the peer is timed at: PyTorch, as one would write it."""

import contextlib
import io
import pathlib
import re
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from peers import batches, damsm_step, files, networks, sizes, train_step
from peers.attention import padding_mask

SIZES = sizes.CUB
WORDS = 18
CAPTION = " ".join(files.vocabulary(13)[1:])
Call = Callable[[], object]


def lengths(batch_size: int) -> torch.Tensor:
    """Of the captions of a batch: 18 words, 17, ..."""
    return torch.tensor([WORDS - i % 12 for i in range(batch_size)])


def batch(batch_size: int, image_sizes: tuple[int, ...]) -> dict:
    """Random, of the shapes of `our_programs.batch`; no two of a class."""
    found = batches.random_batch(
        SIZES, lengths(batch_size), WORDS, image_sizes, seed=0
    )
    return found | {"class_ids": torch.arange(batch_size)}


def _precision(precision: str):
    """Autocast, and the layout of maps that goes with it."""
    if precision == "float32":
        return contextlib.nullcontext(), torch.contiguous_format
    autocast = torch.autocast("cpu", torch.bfloat16)
    return autocast, torch.channels_last


def _given(network, layout):
    networks.randomize(network, 0)
    return network.eval().requires_grad_(False).to(memory_format=layout)


def generate(precision: str, batch_size: int, folder: pathlib.Path) -> Call:
    """From token ids and noise to three pictures."""
    autocast, layout = _precision(precision)
    text_encoder = _given(networks.text_encoder(SIZES), layout)
    generator = _given(networks.generator(SIZES), layout)
    data = batch(batch_size, ())

    def call():
        with torch.inference_mode(), autocast:
            words, sentences = text_encoder(data["token_ids"], data["lengths"])
            mask = padding_mask(data["token_ids"])
            return generator(data["z"], data["eps"], sentences, words, mask)

    return call


def train(precision: str, batch_size: int, folder: pathlib.Path) -> Call:
    """One step of GAN training with the released settings."""
    autocast, layout = _precision(precision)
    parts = networks.Networks(
        _given(networks.text_encoder(SIZES), layout),
        _given(networks.image_encoder(SIZES), layout),
        networks.generator(SIZES).to(memory_format=layout),
        [
            network.to(memory_format=layout)
            for network in networks.discriminators(SIZES)
        ],
    )
    adams = train_step.optimizers(parts)
    average = train_step.parameters(parts.generator)
    data = batch(batch_size, (64, 128, 256))

    def call():
        with autocast:
            return train_step.train_step(
                parts, adams, average, data, **sizes.CUB_LOSSES
            )

    return call


def damsm(precision: str, batch_size: int, folder: pathlib.Path) -> Call:
    """One step of encoder training with the released settings."""
    autocast, layout = _precision(precision)
    text_encoder = networks.text_encoder(SIZES)
    image_encoder = networks.image_encoder(SIZES).to(memory_format=layout)
    step = damsm_step.DamsmStep(text_encoder, image_encoder)
    data = batch(batch_size, (SIZES["trunk_size"],))

    def call():
        with autocast:
            return step(data)

    return call


def one_png(precision: str, batch_size: int, folder: pathlib.Path) -> Call:
    """One caption, as a string, to one PNG; weights of published files."""
    del batch_size
    autocast, layout = _precision(precision)

    def loaded(network, name):
        network.load_state_dict(files.load(folder / name), strict=False)
        return network.eval().to(memory_format=layout)

    text_encoder = loaded(networks.text_encoder(SIZES), "text_encoder200.pth")
    generator = loaded(networks.generator(SIZES), "bird_AttnGAN2.pth")
    words = files.vocabulary(SIZES["vocabulary_size"])
    places = {word: i for i, word in enumerate(words)}
    draw = torch.Generator().manual_seed(0)

    def call():
        tokens = re.findall(r"\w+", CAPTION.lower())
        ids = torch.tensor([[places.get(word, 1) for word in tokens]])
        z = torch.randn(1, SIZES["z_size"], generator=draw)
        eps = torch.randn(1, SIZES["condition_size"], generator=draw)
        with torch.inference_mode(), autocast:
            found = text_encoder(ids, torch.tensor([len(tokens)]))
            drawn = generator(z, eps, *found[::-1], padding_mask(ids))
        image = drawn.images[-1][0].float().permute(1, 2, 0).numpy()
        pixels = np.clip((image + 1) * 127.5, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    return call


PROGRAMS = {
    "generate": generate,
    "train": train,
    "damsm": damsm,
    "damsm_kept": damsm,
    "one_png": one_png,
}
