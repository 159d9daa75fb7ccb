"""Files in the published layouts, with random weights."""

import collections
import itertools
import pathlib
import pickle
import re
import string
from typing import NamedTuple

import torch

from peers import networks, python2

# zip: torch.save of today. legacy: torch.save of before 1.6, from the CPU.
# python2: the published files: legacy, by Python 2 on a GPU.
FORMATS = ("python2", "legacy", "zip")


class Published(NamedTuple):
    """Paths of a set of files."""

    text_encoder: pathlib.Path
    image_encoder: pathlib.Path
    generator: pathlib.Path
    discriminators: list[pathlib.Path]
    captions: pathlib.Path


class Captions(NamedTuple):
    """What captions.pickle holds: ids, a caption a list, and the words."""

    train: list[list[int]]
    test: list[list[int]]
    words: list[str]


def state(network: torch.nn.Module, *, num_batches_tracked: bool = False):
    """A network's weights by name, as published files have them.

    Args:
      network: whose weights; they are not copied.
      num_batches_tracked: whether to keep BN's counters, as newer files do.
    """
    return collections.OrderedDict(
        (name, value)
        for name, value in network.state_dict().items()
        if num_batches_tracked or not name.endswith("num_batches_tracked")
    )


def save(
    weights: dict[str, torch.Tensor],
    path: pathlib.Path,
    *,
    format: str = "python2",
    prefix: str = "",
    wrapper: str | None = None,
) -> None:
    """Writes one .pth file.

    Args:
      weights: by name.
      path: of the file.
      format: one of FORMATS.
      prefix: of every name: "module." after DataParallel.
      wrapper: key of a dict around the weights: "netG", "netG_state_dict".

    Raises:
      ValueError: an unknown format.
    """
    content = collections.OrderedDict(
        (prefix + name, value) for name, value in weights.items()
    )
    if wrapper is not None:
        content = {wrapper: content}
    if format == "python2":
        python2.save(content, path)
    elif format in FORMATS:
        torch.save(
            content, path, _use_new_zipfile_serialization=format == "zip"
        )
    else:
        raise ValueError(f"`format` must be of {FORMATS}. Received: {format!r}")


def vocabulary(size: int) -> list[str]:
    """`<end>`, then made-up words of five letters, all different."""
    words = itertools.product(string.ascii_lowercase, repeat=4)
    words = itertools.islice(words, size - 1)
    return ["<end>", *("w" + "".join(letters) for letters in words)]


def random_captions(
    vocabulary_size: int,
    *,
    train: int = 20,
    test: int = 10,
    longest: int = 18,
    seed: int = 0,
) -> Captions:
    """Captions of random words, 1 to `longest` each."""
    draw = torch.Generator().manual_seed(seed)

    def caption():
        length = torch.randint(1, longest + 1, (1,), generator=draw)
        return torch.randint(
            1, vocabulary_size, (int(length),), generator=draw
        ).tolist()

    return Captions(
        [caption() for _ in range(train)],
        [caption() for _ in range(test)],
        vocabulary(vocabulary_size),
    )


def save_captions(
    captions: Captions, path: pathlib.Path, *, format: str = "python2"
) -> None:
    """Writes captions.pickle; the format "python2" or "python3"."""
    ids = range(len(captions.words))
    content = [
        captions.train,
        captions.test,
        dict(zip(ids, captions.words, strict=True)),
        dict(zip(captions.words, ids, strict=True)),
    ]
    with open(path, "wb") as file:
        if format == "python2":
            # All words are unicode there, but for this one.
            python2.Pickler(file, byte_strings={"<end>"}).dump(content)
        else:
            pickle.dump(content, file, protocol=2)


def write_published(
    folder: pathlib.Path,
    sizes: dict,
    *,
    seed: int = 0,
    dcgan: bool = False,
    num_batches_tracked: bool = False,
    format: str = "python2",
    prefix: str = "",
    wrapper: str | None = None,
) -> Published:
    """Writes a whole set of files with random weights and BN statistics.

    Args:
      folder: an existing folder.
      sizes: such as `sizes.CUB`.
      seed: of the weights.
      dcgan: AttnDCGAN's files instead of AttnGAN's.
      num_batches_tracked: see `state`.
      format: see `save`.
      prefix: see `save`.
      wrapper: see `save`; of the generator's file only.
    """

    def write(name, network, seed, wrapper=None):
        networks.randomize(network, seed)
        weights = state(network, num_batches_tracked=num_batches_tracked)
        path = folder / name
        save(weights, path, format=format, prefix=prefix, wrapper=wrapper)
        return path

    name = "bird_AttnDCGAN2.pth" if dcgan else "bird_AttnGAN2.pth"
    judges = networks.discriminators(sizes, dcgan)
    captions = folder / "captions.pickle"
    save_captions(
        random_captions(sizes["vocabulary_size"], seed=seed), captions
    )
    return Published(
        write("text_encoder200.pth", networks.text_encoder(sizes), seed),
        write("image_encoder200.pth", networks.image_encoder(sizes), seed + 1),
        write(name, networks.generator(sizes, dcgan), seed + 2, wrapper),
        [
            write(f"netD{i}.pth", judge, seed + 3 + i)
            for i, judge in enumerate(judges)
        ],
        captions,
    )


def load(path: pathlib.Path) -> dict[str, torch.Tensor]:
    """The weights of a file by plain names, whatever is around them."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    while not all(isinstance(v, torch.Tensor) for v in content.values()):
        (content,) = content.values()
    return {
        re.sub(r"^module\.", "", name): value for name, value in content.items()
    }
