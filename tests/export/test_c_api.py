"""Exported models through TensorFlow's C API, without its Python package."""

import importlib.util
import pathlib
import pickle
import subprocess
import sys

import pytest

from attngan_tf.encoders import Encoders
from export import examples
from export.comparison import differences
from export.signatures import damsm_signatures, generator_signatures

CAPTIONS = ["a red bird", "", "zzz qqq", "\u9ce5 \U0001f426", "a bird " * 400]


def through_the_c_api(folder, signatures, inputs, scratch) -> dict:
    """The outputs for inputs, from a process that never imports tensorflow."""
    requests = {
        name: (
            {signatures[name].inputs[k].name: v for k, v in values.items()},
            {k: info.name for k, info in signatures[name].outputs.items()},
        )
        for name, values in inputs.items()
    }
    (scratch / "requests").write_bytes(pickle.dumps(requests))
    library = pathlib.Path(importlib.util.find_spec("tensorflow").origin)
    program = pathlib.Path(__file__).with_name("c_api.py")
    files = [scratch / "requests", scratch / "answers"]
    subprocess.run(
        [sys.executable, program, library.parent, folder, *files], check=True
    )
    return pickle.loads(files[1].read_bytes())


@pytest.mark.parametrize("kind", ["generator", "damsm"])
def test_the_c_api_gives_the_outputs_of_a_session(
    request, model, tmp_path, kind
):
    folder = request.getfixturevalue(f"{kind}_dir") / "1"
    loaded = request.getfixturevalue(kind)
    encoders = Encoders(model.config, model, model.image_encoder)
    signatures = (
        generator_signatures(model)
        if kind == "generator"
        else damsm_signatures(encoders)
    )
    inputs = examples.example_inputs(signatures, CAPTIONS)
    found = through_the_c_api(folder, loaded.signatures, inputs, tmp_path)
    expected = {name: loaded.run(name, **x) for name, x in inputs.items()}
    assert differences(expected, found, exact=True) == []
