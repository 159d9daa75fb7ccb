"""Small data sets, made of real files."""

import dataclasses
import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from attngan_tf.data import catalog


def image_bytes(
    kind: str = "JPEG", mode: str = "RGB", size=(40, 30), seed=0, **options
) -> bytes:
    """A noisy picture, so that a cut in its bytes is a cut in its pixels."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(seed).integers(
        0, 256, (size[1], size[0], channels), dtype=np.uint8
    )
    image = Image.frombytes(mode, size, noise.tobytes())
    if mode == "P":
        image.putpalette(np.arange(768, dtype=np.uint8).tobytes())
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@dataclasses.dataclass
class RawFolder:
    """A data set in the `folder` layout that tests may damage."""

    root: pathlib.Path

    def add(self, name: str, split: str, captions: int = 3, **image) -> None:
        """Writes a whole picture and its captions, and lists it."""
        ending = image.pop("ending", "jpg")
        seed = sum(name.encode())
        self.write(f"images/{name}.{ending}", image_bytes(seed=seed, **image))
        lines = [f"caption {i} of a bird {name}" for i in range(captions)]
        self.write(f"text/{name}.txt", "\n".join(lines) + "\n")
        with open(self.root / f"{split}.txt", "a", encoding="utf-8") as file:
            file.write(f"{name}\n")

    def write(self, path: str, content: str | bytes) -> pathlib.Path:
        """Writes a file of this content."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        file.write_bytes(content)
        return file

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return (self.root / path).read_bytes()


@pytest.fixture
def raw_folder(tmp_path) -> RawFolder:
    """Four pictures of two classes to train on, and two of another to test."""
    folder = RawFolder(tmp_path / "raw")
    for name in ("b.Wren/w1", "b.Wren/w2", "a.Gull/g1", "a.Gull/g2"):
        folder.add(name, "train")
    for name in ("c.Owl/o1", "c.Owl/o2"):
        folder.add(name, "test")
    return folder


@pytest.fixture
def open_builder(raw_folder, tmp_path):
    """Opens `raw_folder` as a data set that is prepared below `tmp_path`."""

    def make():
        return catalog.open_builder(
            "folder", str(raw_folder.root), str(tmp_path / "prepared")
        )

    return make


@pytest.fixture
def make_image():
    """`image_bytes`, for tests that write their own pictures."""
    return image_bytes
