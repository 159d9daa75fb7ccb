"""Exported models through TensorFlow's C API, without its Python package."""

import importlib.util
import pathlib
import pickle
import subprocess
import sys

import pytest

from export.comparison import differences
from tests.data.helpers import image_bytes

TEXTS = ["a red bird", "", "zzz qqq", "\u9ce5 \U0001f426", "a bird " * 400]
# What the signatures of strings receive; the others are in the same graphs.
VALUES = {
    "captions": [text.encode() for text in TEXTS],
    "image_bytes": [image_bytes(kind) for kind in ("PNG", "JPEG")] * 2
    + [image_bytes("PNG")],
}


@pytest.mark.parametrize("kind", ["generator", "damsm"])
def test_the_c_api_gives_the_outputs_of_a_session(request, tmp_path, kind):
    loaded = request.getfixturevalue(kind)
    folder = request.getfixturevalue(f"{kind}_dir") / "1"
    signatures = {
        name: signature
        for name, signature in loaded.signatures.items()
        if set(signature.inputs) <= set(VALUES)
    }
    assert len(signatures) == {"generator": 2, "damsm": 4}[kind]
    requests = {
        name: (
            {info.name: VALUES[key] for key, info in signature.inputs.items()},
            {key: info.name for key, info in signature.outputs.items()},
        )
        for name, signature in signatures.items()
    }
    (tmp_path / "requests").write_bytes(pickle.dumps(requests))
    tensorflow = pathlib.Path(importlib.util.find_spec("tensorflow").origin)
    program = pathlib.Path(__file__).with_name("c_api.py")
    files = [tmp_path / "requests", tmp_path / "answers"]
    subprocess.run(
        [sys.executable, program, tensorflow.parent, folder, *files],
        check=True,
    )
    found = pickle.loads(files[1].read_bytes())
    expected = {
        name: loaded.run(name, **{key: VALUES[key] for key in signature.inputs})
        for name, signature in signatures.items()
    }
    assert differences(expected, found, exact=True) == []
