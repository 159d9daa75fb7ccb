"""Small data sets, made of real files, and ways to prepare and read them."""

import dataclasses
import io
import pathlib
import struct
import zlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from attngan_tf.config import Config
from attngan_tf.data import catalog
from attngan_tf.data.findings import FaultsError


def encoded(image, kind="PNG", **options) -> bytes:
    """The bytes of an image file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def image_bytes(
    kind: str = "JPEG", mode: str = "RGB", size=(40, 30), seed=0, **options
) -> bytes:
    """A noisy image, so that a cut in its bytes is a cut in its pixels."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(seed).integers(
        0, 256, (size[1], size[0], channels), dtype=np.uint8
    )
    image = Image.frombytes(mode, size, noise.tobytes())
    if mode == "P":
        image.putpalette(np.arange(768, dtype=np.uint8).tobytes())
    return encoded(image, kind, **options)


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG of rows that begin with their filter's number."""
    content = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0),
        b"IDAT": zlib.compress(rows, 1),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
        for name, data in content.items()
    )


class Files:
    """A folder of raw data that tests may damage."""

    def __init__(self, root: pathlib.Path):
        self.root = root

    def write(self, path: str, content: str | bytes) -> pathlib.Path:
        """Writes a file of this content."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        file.write_bytes(content)
        return file

    def append(self, path: str, content: str | bytes) -> None:
        """Adds to the end of a file."""
        before = (self.root / path).read_bytes()
        if isinstance(content, str):
            content = content.encode()
        self.write(path, before + content)

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return (self.root / path).read_bytes()


class RawFolder(Files):
    """A data set in the `folder` layout."""

    def add(self, name: str, split: str, captions: int = 3, **image) -> None:
        """Writes a whole image and its captions, and lists it."""
        ending = image.pop("ending", "jpg")
        seed = sum(name.encode())
        self.write(f"images/{name}.{ending}", image_bytes(seed=seed, **image))
        lines = [f"caption {i} of a bird {name}" for i in range(captions)]
        self.write(f"text/{name}.txt", "\n".join(lines) + "\n")
        with open(self.root / f"{split}.txt", "a", encoding="utf-8") as file:
            file.write(f"{name}\n")


def make_raw_folder(root: pathlib.Path) -> RawFolder:
    """Four images of two classes to train on, and two of another to test."""
    folder = RawFolder(root)
    for name in ("b.Wren/w1", "b.Wren/w2", "a.Gull/g1", "a.Gull/g2"):
        folder.add(name, "train")
    for name in ("c.Owl/o1", "c.Owl/o2"):
        folder.add(name, "test")
    return folder


@dataclasses.dataclass
class Preparation:
    """Prepares data sets of one kind below a folder."""

    dataset: str
    prepared: pathlib.Path

    def open(self, source="", captions: int = 0, **options):
        """The builder."""
        config = Config(
            dataset=self.dataset,
            data_dir=str(source),
            prepared_dir=str(self.prepared),
            captions_per_image=captions,
            **options,
        )
        return catalog.open_configured(config)

    def __call__(self, source="", captions: int = 0, **options):
        """The builder and the report of prepared data."""
        builder = self.open(source, captions, **options)
        return builder, catalog.prepare(builder)

    def faults(self, source, captions: int = 0, **options) -> list[str]:
        """All faults of a data set that cannot be prepared."""
        with pytest.raises(FaultsError) as error:
            self(source, captions, **options)
        assert f"found {len(error.value.faults)}, the" in str(error.value)
        assert files_below(self.prepared) == []
        return error.value.faults


def files_below(folder) -> list[pathlib.Path]:
    """All files in a folder and the folders below it."""
    return [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]


def records(builder, *splits: str) -> dict[str, dict]:
    """Prepared records by name; their images are encoded."""
    decoders = {"image": tfds.decode.SkipDecoding()}
    return {
        record["name"].decode(): record
        for split in splits or ("train", "test")
        for record in builder.as_data_source(split, decoders=decoders)
    }


def contents(builder, *splits: str) -> dict[str, tuple]:
    """Image, crop, captions and class id of prepared records, by name."""
    return {
        name: (
            record["image"],
            record["crop"].tolist(),
            list(record["captions"]),
            int(record["class_id"]),
        )
        for name, record in records(builder, *splits).items()
    }


def check_faults(faults: list[str], expected: list[str]) -> None:
    """Each expected beginning is that of exactly one fault."""
    for part in expected:
        assert sum(fault.startswith(part) for fault in faults) == 1, part
    assert len(faults) == len(expected)
