"""Pickles and .pth files as Python 2 and PyTorch of 2018 wrote them."""

import collections
import pathlib
import pickle
import struct
from collections.abc import Collection

import torch

# Of the format before 1.6: https://github.com/pytorch/pytorch, serialization.
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
SYSTEM = {
    "protocol_version": PROTOCOL_VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
# A GPU's: whoever loads must say that they go elsewhere.
STORAGES = {
    torch.float32: torch.cuda.FloatStorage,
    torch.int64: torch.cuda.LongStorage,
}
LOCATION = "cuda:0"


class Pickler(pickle._Pickler):
    """Protocol 2, with byte strings where Python 2 had its str.

    Args:
      file: open to write bytes.
      byte_strings: texts to write so, or None for all.
    """

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, file, byte_strings: Collection[str] | None = None):
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
        return obj.identity() if isinstance(obj, _Storage) else None


class _Storage:
    """A tensor's numbers, which stand behind the pickle."""

    def __init__(self, key, tensor):
        self.key = key
        self.array = tensor.detach().contiguous().numpy()
        self.type = STORAGES[tensor.dtype]

    def identity(self):
        return ("storage", self.type, self.key, LOCATION, self.array.size, None)

    def write(self, file):
        file.write(struct.pack("<q", self.array.size) + self.array.tobytes())


class _Tensor:
    """Pickled as a call that rebuilds a tensor from its storage."""

    def __init__(self, storage):
        self.storage = storage

    def __reduce__(self):
        shape = self.storage.array.shape
        strides = [
            n // self.storage.array.itemsize for n in self.storage.array.strides
        ]
        arguments = (self.storage, 0, shape, tuple(strides))
        return torch._utils._rebuild_tensor, arguments


class _OrderedDict:
    """Pickled as Python 2 did: a call with a list of pairs."""

    def __init__(self, items):
        self.items = items

    def __reduce__(self):
        pairs = [list(item) for item in self.items]
        return collections.OrderedDict, (pairs,)


def _replaced(value, storages):
    """A copy of nested dicts with what Python 2 would have pickled."""
    if isinstance(value, torch.Tensor):
        key = str(94_000_000_000_000 + 64 * len(storages))  # an address
        storages[key] = _Storage(key, value)
        return _Tensor(storages[key])
    replaced = {k: _replaced(v, storages) for k, v in value.items()}
    if isinstance(value, collections.OrderedDict):
        return _OrderedDict(replaced.items())
    return replaced


def save(content: dict, path: pathlib.Path) -> None:
    """Writes nested dicts of tensors as a published .pth file.

    Args:
      content: tensors of float32 or int64 by name.
      path: of the file.
    """
    storages = {}
    content = _replaced(content, storages)
    keys = sorted(storages)
    with open(path, "wb") as file:
        for part in (MAGIC_NUMBER, PROTOCOL_VERSION, SYSTEM, content, keys):
            Pickler(file).dump(part)
        for key in keys:
            storages[key].write(file)
