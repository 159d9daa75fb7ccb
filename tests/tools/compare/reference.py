"""The same programs in PyTorch, as one would write them."""

import contextlib
import io
import pathlib
import re
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from tests.reference import files, networks, training
from tests.reference.networks import CUB

WORDS = 18
CAPTION = " ".join(files.vocabulary(13)[1:])
Call = Callable[[], object]


def batch(B: int, image_sizes: tuple[int, ...]) -> dict:
    """Random, of the shapes of `ours.batch`; no two of a class."""
    lengths = torch.tensor([WORDS - i % 12 for i in range(B)])
    found = training.random_batch(CUB, lengths, WORDS, image_sizes, seed=0)
    return found | {"class_ids": torch.arange(B)}


def _precision(precision: str):
    """Autocast, and the memory format that suits it."""
    if precision == "float32":
        return contextlib.nullcontext(), torch.contiguous_format
    return torch.autocast("cpu", torch.bfloat16), torch.channels_last


def _fixed(network, layout):
    networks.randomize(network, 0)
    return network.eval().requires_grad_(False).to(memory_format=layout)


def _image_encoder():
    return networks.ImageEncoder(CUB["feature_size"], CUB["image_encoder_size"])


def generate(precision: str, B: int, folder: pathlib.Path) -> Call:
    """From token ids and noise to three images."""
    autocast, layout = _precision(precision)
    text_encoder = _fixed(networks.TextEncoder(CUB), layout)
    generator = _fixed(networks.Generator(CUB), layout)
    data = batch(B, ())
    ids, noise = data["token_ids"], (data["z"], data["eps"])

    def call():
        with torch.inference_mode(), autocast:
            words, sentences = text_encoder(ids, data["lengths"])
            return generator(*noise, sentences, words, ids == 0)

    return call


def train(precision: str, B: int, folder: pathlib.Path) -> Call:
    """One GAN step."""
    autocast, layout = _precision(precision)
    trained = (networks.Generator(CUB), *networks.discriminators(CUB))
    generator, *discriminators = (
        network.to(memory_format=layout) for network in trained
    )
    encoders = (
        _fixed(networks.TextEncoder(CUB), layout),
        _fixed(_image_encoder(), layout),
    )
    step = training.GanStep(
        networks.Networks(*encoders, generator, discriminators), 5.0
    )
    return _training(step, autocast, batch(B, (64, 128, 256)))


def damsm(precision: str, B: int, folder: pathlib.Path) -> Call:
    """One encoder step."""
    autocast, layout = _precision(precision)
    image_encoder = _image_encoder().to(memory_format=layout)
    step = training.DamsmStep(networks.TextEncoder(CUB), image_encoder)
    return _training(step, autocast, batch(B, (CUB["image_encoder_size"],)))


def _training(step, autocast, data) -> Call:
    def call():
        with autocast:
            return step(data)

    return call


def one_png(precision: str, B: int, folder: pathlib.Path) -> Call:
    """One caption, as a string, to one PNG, with published files."""
    autocast, layout = _precision(precision)

    def loaded(network, name):
        network.load_state_dict(files.load(folder / name), strict=False)
        return network.eval().to(memory_format=layout)

    text_encoder = loaded(networks.TextEncoder(CUB), "text_encoder200.pth")
    generator = loaded(networks.Generator(CUB), "bird_AttnGAN2.pth")
    words = files.vocabulary(CUB["vocabulary_size"])
    index = {word: i for i, word in enumerate(words)}

    def call():
        tokens = re.findall(r"\w+", CAPTION.lower())
        ids = torch.tensor([[index[token] for token in tokens]])
        noise = (
            torch.randn(1, CUB["z_size"]),
            torch.randn(1, CUB["condition_size"]),
        )
        with torch.inference_mode(), autocast:
            features = text_encoder(ids, torch.tensor([len(tokens)]))
            found = generator(*noise, *features[::-1], ids == 0)
        image = found.images[-1][0].float().permute(1, 2, 0).numpy()
        pixels = np.clip((image + 1) * 127.5, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    return call


PROGRAMS = {
    "generate": generate,
    "train": train,
    "damsm": damsm,
    "damsm_cached": damsm,
    "one_png": one_png,
}
