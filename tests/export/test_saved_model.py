"""python -m export.saved_model, and what it writes."""

import dataclasses
import importlib.util
import io
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from loaded import Loaded
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

import attngan_tf
from attngan_tf.encoders import Encoders
from attngan_tf.errors import UserError
from attngan_tf.sampling import to_uint8
from attngan_tf.text_to_image import TextToImage
from attngan_tf.train import train
from export import examples, saved_model
from export.signatures import damsm_signatures, generator_signatures

CAPTIONS = ["a red bird", "", "zzz qqq", "\u9ce5 \U0001f426", "a bird " * 400]
SIGNATURES = {
    "serving_default",
    "generate_png",
    "generate",
    "generate_from_noise",
    "generate_with_attention",
    "encode_text",
}


@pytest.fixture(scope="module")
def model(tiny_workdir):
    return attngan_tf.load(str(tiny_workdir))


def meta_graph(folder):
    """What a SavedModel's file holds."""
    content = (folder / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


def signature_defs(folder) -> dict:
    """The signatures that were exported."""
    found = meta_graph(folder).signature_def
    return {k: v for k, v in found.items() if not k.startswith("__")}


def through_the_c_api(folder, inputs, scratch) -> dict:
    """Answers of a process that never imports tensorflow."""
    signatures = signature_defs(folder)
    asked = {
        name: (
            {signatures[name].inputs[k].name: v for k, v in values.items()},
            {k: info.name for k, info in signatures[name].outputs.items()},
        )
        for name, values in inputs.items()
    }
    (scratch / "asked").write_bytes(pickle.dumps(asked))
    library = pathlib.Path(importlib.util.find_spec("tensorflow").origin)
    program = pathlib.Path(__file__).with_name("c_api.py")
    subprocess.run(
        [
            sys.executable,
            program,
            library.parent,
            folder,
            scratch / "asked",
            scratch / "answered",
        ],
        check=True,
    )
    return pickle.loads((scratch / "answered").read_bytes())


def pixels(encoded) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in encoded])


def test_the_generator_through_the_c_api(generator_dir, model, tmp_path):
    inputs = examples.example_inputs(generator_signatures(model), CAPTIONS)
    found = through_the_c_api(generator_dir / "1", inputs, tmp_path)
    assert set(found) == SIGNATURES
    seeds = list(range(5))
    drawn = model.outputs(CAPTIONS, seeds)
    images = to_uint8(drawn["images_16"]).numpy().astype(int)
    own = model.generate(CAPTIONS).astype(int)

    def close(name, key, expected, atol=1e-4):
        np.testing.assert_allclose(found[name][key], expected, atol=atol)

    close("generate", "images", images, 1)
    for name in ("generate_png", "generate_with_attention"):
        shown = pixels(found[name]["image_bytes"])
        np.testing.assert_allclose(shown, images, atol=1)
    shown = pixels(found["serving_default"]["image_bytes"])
    np.testing.assert_allclose(shown, own, atol=1)
    close("generate_with_attention", "attention_16", drawn["attention_16"])
    close("generate_with_attention", "lengths", drawn["lengths"], 0)
    noise = inputs["generate_from_noise"]
    expected = model.from_noise(tf.constant(CAPTIONS), noise["z"], noise["eps"])
    assert set(found["generate_from_noise"]) == {"images_8", "images_16"}
    for key in ("images_8", "images_16"):
        close("generate_from_noise", key, expected[key])
    for key, value in model.encode_text(CAPTIONS).items():
        close("encode_text", key, value)


def test_the_encoders_through_the_c_api(damsm_dir, model, tmp_path):
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


def test_jpeg_and_png_of_any_size_are_matched(damsm_dir, tmp_path):
    rng = np.random.default_rng(0)
    encoded = []
    for size, mode, kind in (
        ((1, 1), "RGB", "PNG"),
        ((300, 20), "L", "PNG"),
        ((40, 90), "RGBA", "PNG"),
        ((77, 33), "RGB", "JPEG"),
    ):
        bands = len(Image.new(mode, (1, 1)).getbands())
        raw = rng.integers(0, 256, [*size[::-1], bands], np.uint8)
        picture = Image.frombytes(mode, size, raw.tobytes())
        file = io.BytesIO()
        picture.save(file, kind)
        encoded.append(file.getvalue())
    inputs = {"encode_image": {"image_bytes": np.array(encoded, object)}}
    found = through_the_c_api(damsm_dir / "1", inputs, tmp_path)
    features = found["encode_image"]["image_features"]
    assert features.shape == (4, 16)
    assert np.isfinite(features).all()


def test_tokens_are_the_words_that_were_used(generator, model):
    captions = np.array(["A RED bird, zzz!", "", "bird " * 99], object)
    found = generator.run(
        "generate_with_attention", captions=captions, seeds=[1, 2, 3]
    )
    lengths = found["lengths"]
    words = [
        [token.decode() for token in row[:length]]
        for row, length in zip(found["tokens"], lengths, strict=True)
    ]
    assert words[1] == ["<end>"]
    assert words[2] == ["bird"] * model.words_num
    assert [w for w in ("a", "red", "bird") if w in words[0]] == words[0]
    assert not b"".join(found["tokens"][0, lengths[0] :])


def test_a_row_alone_and_in_a_batch(generator):
    captions = np.array([f"a red bird {'and wings ' * n}" for n in range(8)])
    seeds = np.arange(8) + 2**40
    noise = np.random.default_rng(0)
    z = noise.standard_normal([8, 8], np.float32)
    eps = noise.standard_normal([8, 6], np.float32)

    def floats(rows):
        return generator.run(
            "generate_from_noise",
            captions=captions[rows],
            z=z[rows],
            eps=eps[rows],
        )["images_16"]

    def png(rows):
        return generator.run(
            "generate_png", captions=captions[rows], seeds=seeds[rows]
        )["image_bytes"]

    together, shown = floats(slice(8)), png(slice(8))
    for row in range(8):
        alone = floats(slice(row, row + 1))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
        assert png(slice(row, row + 1))[0] == shown[row]
    others = png([3, 1, 4, 1, 5, 2, 6, 5])
    assert others[0] == shown[3]
    assert others[1] == others[3] == shown[1]
    assert len(set(shown)) == 8


@pytest.mark.parametrize(
    "caption",
    [b"", b"\xff\xfe\x00", b"bird " * 200_000, "\u00e9".encode() * 9, b"\0"],
    ids=["empty", "not UTF-8", "1 MB", "accents", "zero byte"],
)
def test_any_caption_gives_a_picture(generator, caption):
    found = generator.run(
        "serving_default", captions=np.array([caption], object)
    )
    assert pixels(found["image_bytes"]).shape == (1, 16, 16, 3)


def test_what_a_version_holds(generator_dir, tiny_workdir, model):
    folder = generator_dir / "1"
    vocabulary = (folder / "assets" / "vocab.txt").read_text()
    assert vocabulary == (tiny_workdir / "vocab.txt").read_text()
    assert [p.name for p in (folder / "assets").iterdir()] == ["vocab.txt"]
    names = dict(tf.train.list_variables(str(folder / "variables/variables")))
    kept = [shape for name, shape in names.items() if "_variables" in name]
    numbers = sum(int(np.prod(shape)) for shape in kept)
    folded = saved_model.folded_model(model)
    assert numbers == (
        folded.generator.count_params() + folded.text_encoder.count_params()
    )


def test_warm_up_requests_are_of_every_signature(generator_dir, tmp_path):
    folder = generator_dir / "1"
    requests = folder / "assets.extra" / "tf_serving_warmup_requests"
    answers = tmp_path / "answers"
    gate = pathlib.Path(saved_model.session_gate.__file__)
    subprocess.run(
        [sys.executable, gate, folder, requests, answers], check=True
    )
    assert set(examples.read_answers(str(answers))) == SIGNATURES


def test_a_version_is_never_written_over(
    generator_dir, tiny_workdir, export_version, tmp_path
):
    folder = tmp_path / "attngan"
    shutil.copytree(generator_dir, folder)
    (folder / "notes").mkdir()
    common = [f"--workdir={tiny_workdir}", f"--export_dir={folder}"]
    with pytest.raises(UserError, match="is there already"):
        export_version(*common, "--version=1")
    export_version(*common, "--precision=bf16")
    assert sorted(p.name for p in folder.iterdir()) == ["1", "2", "notes"]
    outputs = [
        info.dtype
        for signature in signature_defs(folder / "2").values()
        for info in signature.outputs.values()
    ]
    assert tf.bfloat16.as_datatype_enum not in outputs
    assert uses_bfloat16(folder / "2")
    assert not uses_bfloat16(folder / "1")


def uses_bfloat16(folder) -> bool:
    """Whether convolutions of a SavedModel are computed in bfloat16."""
    nodes = [
        node
        for function in meta_graph(folder).graph_def.library.function
        for node in function.node_def
        if node.op == "Conv2D"
    ]
    assert nodes
    kinds = {node.attr["T"].type for node in nodes}
    return tf.bfloat16.as_datatype_enum in kinds


def test_a_version_that_draws_otherwise_is_removed(model, tmp_path):
    model = model
    other = TextToImage(
        config=dataclasses.replace(model.config, condition_noise=False),
        vocabulary=model.vocabulary,
        text_encoder=model.text_encoder,
        generator=model.generator,
    )
    names = ("serving_default", "generate", "generate_from_noise")
    written, reference = (
        {name: generator_signatures(drawn_by)[name] for name in names}
        for drawn_by in (other, model)
    )
    exported = saved_model.Exported(model.vocabulary, written)
    with pytest.raises(UserError) as raised:
        saved_model.publish(str(tmp_path / "1"), exported, reference, True)
    said = str(raised.value)
    assert "images of generate differs by" in said
    assert "image_bytes of serving_default" in said
    assert "images_16 of generate_from_noise" not in said
    assert "version 1 was removed" in said
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_versions_that_are_there(
    model, tmp_path, small_disk
):
    disk = small_disk(200)
    (disk / "7").mkdir()
    signatures = generator_signatures(model)
    exported = saved_model.Exported(model.vocabulary, signatures)
    with pytest.raises(UserError) as raised:
        saved_model.publish(str(disk / "8"), exported, signatures, True)
    said = str(raised.value)
    assert f"a version must be written to {disk}, which failed" in said
    assert "the versions that are there are kept; make room" in said
    assert [path.name for path in disk.iterdir()] == ["7"]


def test_a_full_disk_for_what_checks_a_version(
    model, tmp_path, small_disk, fill, monkeypatch
):
    disk = small_disk(64)
    fill(disk)
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    reference = generator_signatures(model)
    with pytest.raises(UserError, match=f"must be written to {disk}, which"):
        saved_model.check(str(tmp_path / "1"), reference, True)


def out_of_memory(*_):
    raise tf.errors.ResourceExhaustedError(None, None, "OOM")


@pytest.mark.parametrize("when", ["traced", "checked"])
def test_what_no_disk_refused_is_not_told_so(
    model, tmp_path, monkeypatch, when
):
    signatures = generator_signatures(model)
    name = "encode_text"
    signatures = {name: signatures[name]}
    if when == "traced":
        signatures[name] = signatures[name]._replace(function=out_of_memory)
    exported = saved_model.Exported(model.vocabulary, signatures)
    monkeypatch.setattr(saved_model, "check", out_of_memory)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        saved_model.publish(str(tmp_path / "1"), exported, signatures, True)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_removed(model, tmp_path, monkeypatch):
    left = tmp_path / ".writing-left"
    left.mkdir()
    (left / "saved_model.pb").write_text("half")
    signatures = generator_signatures(model)
    signatures = {"encode_text": signatures["encode_text"]}
    exported = saved_model.Exported(model.vocabulary, signatures)
    seen = []

    def check(folder, *_):
        seen.extend(path.name for path in tmp_path.iterdir())
        return []

    monkeypatch.setattr(saved_model, "check", check)
    saved_model.publish(str(tmp_path / "1"), exported, signatures, True)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1").stat().st_mode & 0o777 == 0o755
    (writing,) = (name for name in seen if name.startswith(".writing-"))
    assert writing != left.name


def test_encoders_are_exported_before_a_gan_is_trained(
    tiny_workdir, export_version, tmp_path
):
    workdir = tmp_path / "run"
    shutil.copytree(tiny_workdir, workdir)
    shutil.rmtree(workdir / "gan")
    common = [f"--workdir={workdir}", f"--export_dir={tmp_path / 'out'}"]
    with pytest.raises(UserError, match="gan"):
        export_version(*common)
    with pytest.raises(UserError, match="--checkpoint"):
        export_version(*common, "--model=damsm", "--checkpoint=best")
    export_version(*common, "--model=damsm")
    assert {"encode_text", "encode_image", "match"} <= set(
        signature_defs(tmp_path / "out" / "1")
    )


@pytest.mark.slow
def test_tuned_encoders_are_exported_of_the_checkpoint_asked_for(
    tiny_config, export_version, tmp_path
):
    workdir = str(tmp_path / "run")
    fields = {"damsm_learning_rate": 0.02, "checkpoint_interval": 1}
    train(tiny_config(workdir=workdir, finetune_damsm=True, **fields))
    common = [f"--workdir={workdir}", f"--export_dir={tmp_path / 'out'}"]
    captions = ["a red bird", "a bird with blue wings"]
    found = []
    for version, step in ((1, "2"), (2, "4")):
        export_version(*common, "--model=damsm", f"--checkpoint={step}")
        loaded = Loaded(tmp_path / "out" / str(version))
        answer = loaded.run("encode_text", captions=captions)
        found.append(answer["sentence_features"])
        expected = attngan_tf.load(workdir, step).encode_text(captions)
        np.testing.assert_allclose(
            found[-1], expected["sentence_features"], atol=1e-5
        )
    assert np.abs(found[1] - found[0]).max() > 1e-3


def test_a_version_that_does_not_load(generator_dir, model, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(generator_dir / "1", folder)
    (folder / "variables" / "variables.data-00000-of-00001").unlink()
    reference = generator_signatures(model)
    (fault,) = saved_model.check(str(folder), reference, exact=True)
    assert fault.startswith("it does not load or answer: ")
    assert "variables" in fault


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--workdir"),
        (["--workdir={tiny}"], "--export_dir"),
        (["--workdir=nowhere", "--export_dir={tmp}/new"], "config.json"),
        (["--workdir={tiny}", "--export_dir=/dev/null/x"], "--export_dir"),
        (
            ["--workdir={tiny}", "--export_dir={tmp}", "--checkpoint=99"],
            "2, 4",
        ),
        (["--workdir={tiny}", "--export_dir={tmp}", "more"], "flags only"),
    ],
)
def test_a_mistake_is_one_line(
    tiny_workdir, tmp_path, export_version, arguments, said
):
    names = {"tiny": tiny_workdir, "tmp": tmp_path}
    with pytest.raises(UserError) as raised:
        export_version(*[text.format(**names) for text in arguments])
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
