"""Exported models through TensorFlow's C API, without its Python package."""

import importlib.util
import io
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import tensorflow as tf
from loaded import signature_defs
from PIL import Image

from attngan_tf.encoders import Encoders
from attngan_tf.sampling import to_uint8
from export import examples
from export.signatures import damsm_signatures, generator_signatures

CAPTIONS = ["a red bird", "", "zzz qqq", "\u9ce5 \U0001f426", "a bird " * 400]


def through_the_c_api(folder, inputs, scratch) -> dict:
    """The outputs for inputs, from a process that never imports tensorflow."""
    signatures = signature_defs(folder)
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


def pixels(encoded) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in encoded])


def test_generator_through_the_c_api(generator_dir, model, tmp_path):
    inputs = examples.example_inputs(generator_signatures(model), CAPTIONS)
    found = through_the_c_api(generator_dir / "1", inputs, tmp_path)
    seeds = list(range(5))
    outputs = model.outputs(CAPTIONS, seeds)
    images = to_uint8(outputs["images_16"]).numpy().astype(int)
    own = model.generate(CAPTIONS).astype(int)

    def close(name, key, expected, atol=1e-4):
        np.testing.assert_allclose(found[name][key], expected, atol=atol)

    close("generate", "images", images, 1)
    for name in ("generate_png", "generate_with_attention"):
        shown = pixels(found[name]["image_bytes"])
        np.testing.assert_allclose(shown, images, atol=1)
    shown = pixels(found["serving_default"]["image_bytes"])
    np.testing.assert_allclose(shown, own, atol=1)
    close("generate_with_attention", "attention_16", outputs["attention_16"])
    close("generate_with_attention", "lengths", outputs["lengths"], 0)
    noise = inputs["generate_from_noise"]
    expected = model.from_noise(tf.constant(CAPTIONS), noise["z"], noise["eps"])
    assert set(found["generate_from_noise"]) == {"images_8", "images_16"}
    for key in ("images_8", "images_16"):
        close("generate_from_noise", key, expected[key])
    for key, value in model.encode_text(CAPTIONS).items():
        close("encode_text", key, value)


def test_encoders_through_the_c_api(damsm_dir, model, tmp_path):
    encoders = Encoders(model.config, model, model.image_encoder)
    inputs = examples.example_inputs(damsm_signatures(encoders), CAPTIONS[:3])
    found = through_the_c_api(damsm_dir / "1", inputs, tmp_path)
    assert set(found) == {"encode_text", "encode_image", "match"}
    shown = pixels(inputs["match"]["image_bytes"])
    assert shown.shape == (3, 64, 96, 3)
    squares = shown[:, :, 16:80]
    for name, value in model.score(CAPTIONS[:3], squares).items():
        np.testing.assert_allclose(found["match"][name], value, atol=1e-4)
    features = model.image_encoder(squares / np.float32(127.5) - 1)
    for name, value in features.items():
        np.testing.assert_allclose(
            found["encode_image"][name], value, atol=1e-4
        )
