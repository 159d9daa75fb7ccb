"""Files in the published layouts, with random weights, and broken files."""

import collections
import itertools
import os
import pathlib
import pickle
import string
import struct
import zipfile
from typing import NamedTuple

import torch

from tests.reference import networks

# "zip": torch.save of today. "legacy": torch.save before PyTorch 1.6, on a
# CPU. "python2": the published files: legacy, by Python 2 on a GPU.
FORMATS = ("python2", "legacy", "zip")
MALICIOUS_FORMS = ("pickle", "legacy", "zip")
# https://github.com/pytorch/pytorch, torch/serialization.py.
HEADER = (
    0x1950A86A20F9469CFC6C,
    1001,
    {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    },
)


class Published(NamedTuple):
    """Paths of a set of files."""

    text_encoder: pathlib.Path
    image_encoder: pathlib.Path
    generator: pathlib.Path
    discriminators: list[pathlib.Path]
    captions: pathlib.Path


def state(network: torch.nn.Module, counters: bool = False) -> dict:
    """Weights by name; BN's `num_batches_tracked` only if `counters`."""
    return collections.OrderedDict(
        (name, value)
        for name, value in network.state_dict().items()
        if counters or not name.endswith("num_batches_tracked")
    )


def save(
    weights: dict[str, torch.Tensor],
    path: pathlib.Path,
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
    """
    content = collections.OrderedDict(
        (prefix + name, value) for name, value in weights.items()
    )
    if wrapper is not None:
        content = {wrapper: content}
    if format == "python2":
        _save_python2(content, path)
    else:
        zipped = {"legacy": False, "zip": True}[format]
        torch.save(content, path, _use_new_zipfile_serialization=zipped)


def load(path: pathlib.Path) -> dict[str, torch.Tensor]:
    """The weights of a file."""
    return torch.load(path, map_location="cpu", weights_only=True)


class _Pickler(pickle._Pickler):
    """Protocol 2, with the given texts (None: all) as Python 2's str."""

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, file, byte_strings=None):
        super().__init__(file, protocol=2)
        self.byte_strings = byte_strings

    def _save_text(self, text):
        if self.byte_strings is not None and text not in self.byte_strings:
            pickle._Pickler.save_str(self, text)
            return
        data = text.encode("ascii")
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    dispatch[str] = _save_text

    def persistent_id(self, obj):
        if not isinstance(obj, _Storage):
            return None
        kind, size = torch.cuda.FloatStorage, obj.array.size
        return ("storage", kind, obj.key, "cuda:0", size, None)


class _Storage:
    """The numbers of a tensor, which follow the pickle in the file."""

    def __init__(self, key, tensor):
        self.key = key
        self.array = tensor.detach().contiguous().numpy()


class _Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _python2(value, storages: dict):
    """A copy of nested dicts with what Python 2 would have pickled."""
    if isinstance(value, torch.Tensor):
        key = str(94_000_000_000_000 + 64 * len(storages))  # an address
        storages[key] = _Storage(key, value)
        shape, strides = tuple(value.shape), value.contiguous().stride()
        rebuild = torch._utils._rebuild_tensor
        return _Call(rebuild, storages[key], 0, shape, strides)
    copy = {k: _python2(v, storages) for k, v in value.items()}
    if isinstance(value, collections.OrderedDict):
        pairs = [list(item) for item in copy.items()]
        return _Call(collections.OrderedDict, pairs)
    return copy


def _save_python2(content: dict, path: pathlib.Path) -> None:
    """Writes nested dicts of float32 tensors as the authors did."""
    storages = {}
    content = _python2(content, storages)
    with open(path, "wb") as file:
        for part in (*HEADER, content, sorted(storages)):
            _Pickler(file).dump(part)
        for key in sorted(storages):
            array = storages[key].array
            file.write(struct.pack("<q", array.size) + array.tobytes())


def vocabulary(size: int) -> list[str]:
    """`<end>`, then made-up words of five letters, all different."""
    words = itertools.product(string.ascii_lowercase, repeat=4)
    words = itertools.islice(words, size - 1)
    return ["<end>", *("w" + "".join(letters) for letters in words)]


def save_captions(words: list[str], path: pathlib.Path) -> None:
    """Writes captions.pickle with a caption of each word, by Python 2."""
    ids = range(len(words))
    captions = [[i] for i in ids]
    content = [
        captions,
        captions,
        dict(zip(ids, words, strict=True)),
        dict(zip(words, ids, strict=True)),
    ]
    with open(path, "wb") as file:
        # All other words are unicode there.
        _Pickler(file, byte_strings={"<end>"}).dump(content)


def write_published(folder: pathlib.Path, sizes: dict) -> Published:
    """Writes a whole set of files with random weights and BN statistics."""

    def write(name, network, seed):
        networks.randomize(network, seed)
        save(state(network), folder / name)
        return folder / name

    captions = folder / "captions.pickle"
    save_captions(vocabulary(sizes["vocabulary_size"]), captions)
    image_encoder = networks.ImageEncoder(
        sizes["feature_size"], sizes["image_encoder_size"]
    )
    return Published(
        write("text_encoder200.pth", networks.TextEncoder(sizes), 0),
        write("image_encoder200.pth", image_encoder, 1),
        write("bird_AttnGAN2.pth", networks.Generator(sizes), 2),
        [
            write(f"netD{i}.pth", network, 3 + i)
            for i, network in enumerate(networks.discriminators(sizes))
        ],
        captions,
    )


def write_lfs_pointer(path: pathlib.Path) -> None:
    """What a clone without git-lfs has in place of a file."""
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{'4d7a2146' * 8}\nsize 28391234\n"
    )


def write_html_page(path: pathlib.Path) -> None:
    """What a download site sends in place of a large file."""
    path.write_text(
        "<!DOCTYPE html><html><head><title>Virus scan warning</title></head>"
        "<body><p>This file is too large to be scanned.</p></body></html>\n"
    )


def write_malicious(
    path: pathlib.Path, marker: pathlib.Path, form: str
) -> None:
    """Writes a file that makes the folder `marker` if it is unpickled.

    Args:
      path: of the file.
      marker: must not exist.
      form: "pickle", such as captions.pickle; "legacy" and "zip": the formats
        of .pth files.
    """
    attack = _Call(os.mkdir, str(marker))
    attack = pickle.dumps({"weight": attack}, protocol=2)
    if form == "pickle":
        path.write_bytes(attack)
    elif form == "legacy":
        header = [pickle.dumps(part, protocol=2) for part in HEADER]
        keys = pickle.dumps([], protocol=2)
        path.write_bytes(b"".join([*header, attack, keys]))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", attack)
            archive.writestr("archive/byteorder", "little")
            archive.writestr("archive/version", "3\n")
