"""python -m export.saved_model, and the versions that it writes."""

import base64
import shutil

import numpy as np
import pytest
import tensorflow as tf
from loaded import Loaded
from tensorflow_serving.apis import prediction_log_pb2

import attngan_tf
from attngan_tf.errors import UserError
from attngan_tf.train import train
from export import examples, saved_model
from export.signatures import generator_signatures

SIGNATURES = {
    "serving_default",
    "generate_png",
    "generate",
    "generate_from_noise",
    "generate_with_attention",
    "encode_text",
}


def test_a_server_gives_the_same_bytes(generator, deployed_server):
    """In a request alone, and in one with others."""
    rows = [
        {"captions": f"a bird {'with red wings ' * n}", "seeds": n}
        for n in range(5)
    ]
    columns = {k: [row[k] for row in rows] for k in ("captions", "seeds")}
    expected = list(generator.run("generate_png", **columns)["image_bytes"])
    assert len(set(expected)) == 5

    def ask(*rows):
        body = {"signature_name": "generate_png", "instances": rows}
        with deployed_server.client() as client:
            answer = client.predict("attngan", body).json()["predictions"]
        return [base64.b64decode(value["b64"]) for value in answer]

    assert ask(*rows) == expected
    assert [image for row in rows for image in ask(row)] == expected


def test_files_of_a_version(generator_dir, tiny_workdir, model):
    folder = generator_dir / "1"
    vocabulary = (folder / "assets" / "vocab.txt").read_text()
    assert vocabulary == (tiny_workdir / "vocab.txt").read_text()
    assert [p.name for p in (folder / "assets").iterdir()] == ["vocab.txt"]
    names = dict(tf.train.list_variables(str(folder / "variables/variables")))
    shapes = [shape for name, shape in names.items() if "_variables" in name]
    fused = saved_model.fused_model(model)
    assert sum(int(np.prod(shape)) for shape in shapes) == (
        fused.generator.count_params() + fused.text_encoder.count_params()
    )


def test_warm_up_requests_cover_every_signature(generator_dir, generator):
    file = generator_dir / "1/assets.extra/tf_serving_warmup_requests"
    warm = set()
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        assert generator.run(request.model_spec.signature_name, **inputs)
        warm.add(request.model_spec.signature_name)
    assert warm == SIGNATURES


def test_a_version_is_never_overwritten(
    generator_dir, generator, tiny_workdir, export_version, tmp_path
):
    folder = tmp_path / "attngan"
    shutil.copytree(generator_dir, folder)
    (folder / "notes").mkdir()
    (folder / ".writing-left").mkdir()  # by a killed export
    common = [f"--workdir={tiny_workdir}", f"--export_dir={folder}"]
    with pytest.raises(UserError, match="must be new"):
        export_version(*common, "--version=1")
    export_version(*common, "--precision=bf16")
    assert sorted(p.name for p in folder.iterdir()) == ["1", "2", "notes"]
    assert (folder / "2").stat().st_mode & 0o777 == 0o755
    # Its convolutions are in bfloat16, its outputs are not.
    with Loaded(folder / "2") as rough:
        dtypes = {
            info.dtype
            for signature in rough.signatures.values()
            for info in signature.outputs.values()
        }
        assert tf.bfloat16.as_datatype_enum not in dtypes
        assert tf.bfloat16.as_datatype_enum in convolution_dtypes(rough)
    assert tf.bfloat16.as_datatype_enum not in convolution_dtypes(generator)


def convolution_dtypes(loaded: Loaded) -> set[int]:
    graph = loaded.session.graph.as_graph_def()
    return {
        node.attr["T"].type
        for function in graph.library.function
        for node in function.node_def
        if node.op == "Conv2D"
    }


@pytest.fixture
def encode_text(model):
    """The one signature of a small export: much faster than all of them."""
    signatures = generator_signatures(model)
    return {"encode_text": signatures["encode_text"]}


def publish(folder, model, written, reference) -> None:
    exported = saved_model.Exported(model.vocabulary, written)
    saved_model.publish(str(folder), None, exported, reference, exact=True)


def test_a_version_with_other_outputs_is_removed(model, encode_text, tmp_path):
    def wrong(captions):
        outputs = encode_text["encode_text"].function(captions)
        return {**outputs, "word_features": outputs["word_features"] + 0.01}

    written = encode_text["encode_text"]._replace(function=wrong)
    with pytest.raises(UserError) as raised:
        publish(tmp_path, model, {"encode_text": written}, encode_text)
    message = str(raised.value)
    assert "word_features of encode_text differs by 0.01;" in message
    assert "sentence_features" not in message
    assert "version 1 was not written" in message
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_existing_versions(model, encode_text, small_disk):
    disk = small_disk(100)
    (disk / "7").mkdir()
    with pytest.raises(UserError) as raised:
        publish(disk, model, encode_text, encode_text)
    message = str(raised.value)
    assert f"a version must be written to {disk}, which failed" in message
    assert "the existing versions are retained; free disk space" in message
    assert [path.name for path in disk.iterdir()] == ["7"]


def test_encoders_are_exported_before_a_gan_is_trained(
    damsm_workdir, damsm, export_version, tmp_path
):
    assert set(damsm.signatures) >= {"encode_text", "encode_image", "match"}
    common = [f"--workdir={damsm_workdir}", f"--export_dir={tmp_path}"]
    with pytest.raises(UserError, match="gan"):
        export_version(*common)
    with pytest.raises(UserError, match="--checkpoint"):
        export_version(*common, "--model=damsm", "--checkpoint=best")


@pytest.mark.slow
def test_checkpoint_selects_finetuned_encoders(
    tiny_config, damsm_workdir, export_version, tmp_path, monkeypatch
):
    workdir = tmp_path / "run"
    shutil.copytree(damsm_workdir, workdir)
    (workdir / "config.json").unlink()
    fields = {"damsm_learning_rate": 0.02, "checkpoint_interval": 1}
    fields |= {"finetune_damsm": True, "gan_steps": 2}
    train(tiny_config(workdir=str(workdir), **fields))
    captions = ["a red bird", "a bird with blue wings"]
    found = []

    def publish(export_dir, version, exported, *_):
        outputs = exported.signatures["encode_text"].function(captions)
        found.append(outputs["sentence_features"].numpy())
        return export_dir

    monkeypatch.setattr(saved_model, "publish", publish)
    common = [f"--workdir={workdir}", f"--export_dir={tmp_path / 'out'}"]
    for step in ("1", "2"):
        export_version(*common, "--model=damsm", f"--checkpoint={step}")
        expected = attngan_tf.load(str(workdir), step).encode_text(captions)
        np.testing.assert_allclose(
            found[-1], expected["sentence_features"], atol=1e-5
        )
    assert np.abs(found[1] - found[0]).max() > 1e-3


def test_a_version_that_does_not_load_is_reported(
    generator_dir, encode_text, tmp_path
):
    folder = tmp_path / "1"
    shutil.copytree(generator_dir / "1", folder)
    (folder / "variables" / "variables.data-00000-of-00001").unlink()
    inputs = examples.example_inputs(encode_text, ["a red bird"])
    (fault,) = saved_model.check(str(folder), inputs, {}, exact=True)
    assert fault.startswith("it does not load or answer: ")
    assert "variables" in fault


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--workdir"),
        (["--workdir={tiny}"], "--export_dir"),
        (["--workdir=nowhere", "--export_dir={tmp}/new"], "config.json"),
        (["--workdir={tiny}", "--export_dir=/dev/null/x"], "/dev/null/x"),
        (
            ["--workdir={tiny}", "--export_dir={tmp}", "--checkpoint=99"],
            "2, 4",
        ),
        (["--workdir={tiny}", "--export_dir={tmp}", "more"], "flags only"),
    ],
)
def test_a_user_error_is_one_line(
    tiny_workdir, tmp_path, export_version, arguments, words
):
    names = {"tiny": tiny_workdir, "tmp": tmp_path}
    with pytest.raises(UserError) as raised:
        export_version(*[text.format(**names) for text in arguments])
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
