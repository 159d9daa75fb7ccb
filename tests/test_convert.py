"""python -m attngan_tf.convert: published files to a workdir and back."""

import json
import pickle
import shutil

import numpy as np
import pytest
import tensorflow as tf
import torch
from absl import flags

import attngan_tf
from attngan_tf import convert
from attngan_tf import generate as generate_command
from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.pretrained import files as published_files
from attngan_tf.training import assembly
from tests.reference import files, networks
from tests.reference.networks import TINY
from tests.reference.pairing import shared_inception, zero_start

pytestmark = pytest.mark.usefixtures("one_torch_thread", "inception_once")


@pytest.fixture(scope="module")
def inception_once():
    with shared_inception():
        yield


def run(**given):
    values = flags.FlagValues()
    convert.define_flags(values)
    rest = values(["convert", *(f"--{k}={v}" for k, v in given.items())])
    with zero_start():
        convert.main(values, rest[1:])


def arguments(published, workdir, **changes):
    return {
        "text_encoder": published.text_encoder,
        "image_encoder": published.image_encoder,
        "generator": published.generator,
        "captions_pickle": published.captions,
        "discriminators": ",".join(map(str, published.discriminators)),
        "workdir": workdir,
    } | changes


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Files as the authors wrote theirs, of small networks."""
    return files.write_published(tmp_path_factory.mktemp("pth"), TINY)


@pytest.fixture(scope="module")
def workdir(published, inception_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "run"
    run(**arguments(published, folder))
    return folder


@pytest.fixture(scope="module")
def back(workdir, tmp_path_factory):
    """The workdir's model as PyTorch files."""
    folder = tmp_path_factory.mktemp("back") / "pth"
    run(workdir=workdir, to_pytorch=folder)
    return folder


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """Flags for the files of a model of 74 ideograms; no image encoder."""
    folder = tmp_path_factory.mktemp("chinese")
    sizes = TINY | {"vocabulary_size": 75}
    networks_of = {
        "text_encoder": networks.TextEncoder(sizes),
        "generator": networks.Generator(sizes),
    }
    for seed, (name, network) in enumerate(networks_of.items()):
        networks.randomize(network, seed)
        files.save(files.state(network), folder / f"{name}.pth")
    words = ["<end>", *(chr(0x4E00 + i) for i in range(74))]
    files.save_captions(words, folder / "captions.pickle")
    return {name: folder / f"{name}.pth" for name in networks_of} | {
        "captions_pickle": folder / "captions.pickle"
    }


def test_images_of_captions_equal_those_of_the_reference(published, workdir):
    captions = ["waaaa waaab waaae", "WAAAA, unknown waaad!"]
    ids = torch.tensor([[1, 2, 5], [1, 4, 0]])
    rng = np.random.default_rng(0)
    z = rng.standard_normal([2, TINY["z_size"]], np.float32)
    eps = rng.standard_normal([2, TINY["condition_size"]], np.float32)
    text = networks.TextEncoder(TINY)
    text.load_state_dict(files.load(published.text_encoder))
    generator = networks.Generator(TINY)
    generator.load_state_dict(files.load(published.generator))
    with torch.no_grad():
        words, sentences = text.eval()(ids, torch.tensor([3, 2]))
        expected = generator.eval()(
            *(torch.from_numpy(z), torch.from_numpy(eps), sentences, words),
            ids == 0,
        )
    model = attngan_tf.load(str(workdir))
    found = model.from_noise(tf.constant(captions), z, eps)
    for images in expected.images:
        np.testing.assert_allclose(
            found[f"images_{images.shape[-1]}"],
            images.numpy().transpose(0, 2, 3, 1),
            atol=1e-4,
        )
    assert model.step == 0


def test_workdir_is_complete(workdir):
    assert {path.name for path in workdir.iterdir()} == {
        *("config.json", "vocab.txt", "damsm", "gan", "train.flags"),
    }
    assert list(workdir.parent.glob(".*")) == []
    config = json.loads((workdir / "config.json").read_text())
    assert config["inception_padding"] == "torch"
    assert config["damsm_gamma1"] == 4
    assert config["word_score"] == "released"
    assert config["condition_noise"] is True
    words = (workdir / "vocab.txt").read_text().splitlines()
    assert words == files.vocabulary(20)
    names = tf.train.list_variables(str(workdir / "gan" / "ckpt-0"))
    parts = {name.split("/")[0] for name, _ in names}
    assert {"generator", "average", "discriminator_256"} <= parts


def test_reference_networks_load_the_files_written(published, back):
    discriminators = networks.discriminators(TINY)
    for name, network, path in (
        ("netG", networks.Generator(TINY), published.generator),
        ("text_encoder", networks.TextEncoder(TINY), published.text_encoder),
        ("netD0", discriminators[0], published.discriminators[0]),
        ("netD1", discriminators[1], published.discriminators[1]),
        ("netD2", discriminators[2], published.discriminators[2]),
    ):
        state = files.load(back / f"{name}.pth")
        network.load_state_dict(state)
        for key, value in files.load(path).items():
            if "bias_hh" in key:  # PyTorch adds two biases: one is 0 now
                value = torch.zeros_like(value)
            elif "bias_ih" in key:
                value = value + files.load(path)[key.replace("_ih_", "_hh_")]
            assert torch.equal(state[key], value), key
    _, _, words, ids = pickle.loads((back / "captions.pickle").read_bytes())
    assert words[3] == "waaac"
    assert ids["waaac"] == 3


def test_image_encoder_written_gives_the_same_features(published, back):
    images = torch.rand(1, 3, 256, 256) * 2 - 1
    network = networks.ImageEncoder(TINY["feature_size"], 299).eval()
    found = []
    for path in (published.image_encoder, back / "image_encoder.pth"):
        network.load_state_dict(files.load(path))
        with torch.no_grad():
            found.append(network(images))
    for a, b in zip(*found, strict=True):
        assert (a - b).abs().max() < 1e-4 * a.abs().max()


@pytest.mark.slow
def test_training_continues_from_a_converted_model(
    workdir, birds_folder, tmp_path, monkeypatch
):
    from attngan_tf import train
    from attngan_tf.cli import command
    from attngan_tf.training.gan_trainer import GanTrainer

    # Scoring by Inception-v3 takes a minute, and is tested elsewhere.
    monkeypatch.setattr(GanTrainer, "_score", lambda *_: None)
    folder = tmp_path / "run"
    shutil.copytree(workdir, folder)
    # 20 images of 256 pixels take a minute and a half.
    for name, old, new in (
        ("config.json", '"batch_size": 20', '"batch_size": 2'),
        ("train.flags", "--stage=gan", "--stage=gan\n--batch_size=2"),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    words = (folder / "vocab.txt").read_text().splitlines()[1:]
    data = tmp_path / "data"
    shutil.copytree(birds_folder, data)
    for i, path in enumerate(sorted(data.glob("text/**/*.txt"))):
        path.write_text(f"{words[i % 19]} {words[(i + 5) % 19]}\n" * 10)
    values = flags.FlagValues()
    command.define_config_flags(values)
    values(
        [
            "train",
            f"--flagfile={folder / 'train.flags'}",
            f"--workdir={folder}",
            f"--data_dir={data}",
            f"--prepared_dir={tmp_path / 'prepared'}",
            *("--gan_steps=1", "--evaluation_interval=9"),
            "--sample_interval=9",
        ]
    )
    train.train(command.config_from_flags(values))
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 1
    before, after = (
        tf.train.load_checkpoint(str(folder / "gan" / f"ckpt-{step}"))
        for step in (0, 1)
    )
    names = [
        name
        for name in before.get_variable_to_shape_map()
        if "average" in name and "kernel" in name
    ]
    assert len(names) > 10
    for name in names:
        moved = after.get_tensor(name) - before.get_tensor(name)
        # Adam's first step is the rate; the average takes a thousandth.
        assert 0 < np.abs(moved).max() < 3e-7


@pytest.mark.parametrize("kind", ["generator", "captions_pickle"])
def test_files_that_run_code_leave_nothing(published, tmp_path, kind):
    bad, marker = tmp_path / "bad", tmp_path / "marker"
    form = "legacy" if kind == "generator" else "pickle"
    files.write_malicious(bad, marker, form)
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="refused"):
        run(**arguments(published, folder, **{kind: bad}))
    assert not marker.exists()
    assert not folder.exists()


def _changed(published, path, change):
    state = files.load(published.generator)
    change(state)
    files.save(state, path / "netG.pth", "zip")
    return {"generator": path / "netG.pth"}


def _other_captions(published, path):
    files.save_captions(files.vocabulary(21), path / "captions.pickle")
    return {"captions_pickle": path / "captions.pickle"}


def _pointer(published, path):
    files.write_lfs_pointer(path / "captions.pickle")
    return {"captions_pickle": path / "captions.pickle"}


def _surrogate(published, path):
    words = ["<end>", "a\ud800"]
    ids = {word: i for i, word in enumerate(words)}
    content = pickle.dumps([[], [], dict(enumerate(words)), ids])
    (path / "captions.pickle").write_bytes(content)
    return {"captions_pickle": path / "captions.pickle"}


def _one_wide(published, path):
    wide = networks.Discriminator(TINY | {"df": 8}, 256)
    files.save(files.state(wide), path / "netD2.pth")
    paths = [*published.discriminators[:2], path / "netD2.pth"]
    return {"discriminators": ",".join(map(str, paths))}


HEAD = "img_net2.img.0.weight"
USER_ERRORS = {
    "none": (lambda *_: {"generator": ""}, "--generator must be given"),
    "swapped": (
        lambda published, _: {"generator": published.text_encoder},
        "--generator must hold ca_net.fc.weight of 2 dimensions; received 9",
    ),
    "missing": (
        lambda *args: _changed(*args, lambda state: state.pop(HEAD)),
        f"must hold {HEAD}; received",
    ),
    "shape": (
        lambda *args: _changed(
            *args, lambda state: state.update({HEAD: torch.ones(3, 5, 3, 3)})
        ),
        f"{HEAD} must have the shape [3, 4, 3, 3]; received [3, 5, 3, 3]",
    ),
    "more": (
        lambda *args: _changed(
            *args, lambda state: state.update(extra=torch.ones(1))
        ),
        "received extra, too",
    ),
    "vocabulary": (_other_captions, "received 21 words in"),
    "pointer": (_pointer, "git lfs pull"),
    "surrogate": (_surrogate, "strings without white space; received"),
    "one_discriminator": (
        lambda published, _: {"discriminators": published.discriminators[0]},
        "of 64, 128, 256 pixels; received 1, of 64",
    ),
    "widths": (_one_wide, "netD of 256 pixels: img_code_s16.0.weight must"),
    "to_pytorch": (lambda *_: {"to_pytorch": "x"}, "nothing else; received"),
}


@pytest.mark.parametrize("name", USER_ERRORS)
def test_user_errors_are_one_line_and_leave_nothing(published, tmp_path, name):
    change, message = USER_ERRORS[name]
    folder = tmp_path / "new" / "run"
    with pytest.raises(UserError) as raised:
        run(**arguments(published, folder, **change(published, tmp_path)))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not folder.exists()
    assert not list(tmp_path.glob("new/.*"))


def test_existing_folders_are_not_overwritten(published, workdir):
    with pytest.raises(UserError, match="--workdir must be new"):
        run(**arguments(published, workdir))
    before = published.captions.read_bytes()
    with pytest.raises(UserError, match="--to_pytorch must be new"):
        run(workdir=workdir, to_pytorch=published.captions.parent)
    assert published.captions.read_bytes() == before


def test_authentic_files_are_reported(published, tmp_path, monkeypatch, capsys):
    blob = published_files.blob_id(str(published.generator))
    monkeypatch.setitem(published_files.AUTHENTIC, blob, "bird generator")
    run(**arguments(published, tmp_path / "run", discriminators=""))
    printed = capsys.readouterr().out
    assert f"{published.generator}: the authors' bird generator" in printed
    assert f"{published.captions}: not a known published file" in printed
    assert "new discriminators" in printed
    assert "captions can name" not in printed  # all words are ASCII


def with_fields(workdir, folder, **fields):
    """A copy of a workdir with other values in its config.json."""
    shutil.copytree(workdir, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_size": 8}, r"64, 128 and 256 pixels.*are of 8, 16"),
        ({"discriminator_stages": "last"}, "--discriminator_stages=last"),
        ({"attention": "none"}, "--attention=none"),
    ],
)
def test_models_unlike_the_released_ones_are_refused(
    workdir, tmp_path, fields, message
):
    other = with_fields(workdir, tmp_path / "run", **fields)
    with pytest.raises(UserError, match=message):
        run(workdir=other, to_pytorch=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_projected_discriminator_is_not_written(workdir, tmp_path, capsys):
    other = with_fields(workdir, tmp_path / "run", discriminator="projected")
    run(workdir=other, to_pytorch=tmp_path / "out")
    printed = capsys.readouterr().out
    assert "not written: the last stage's discriminator" in printed
    assert "image_encoder.pth is for evaluation, not for training" in printed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"netG.pth", "netD0.pth", "netD1.pth"} < names
    assert "netD2.pth" not in names


def test_a_chinese_model_uses_its_own_words(chinese, tmp_path, capsys):
    folder = str(tmp_path / "run")
    run(**chinese, workdir=folder, tokenizer="unicode")
    assert "the tokenizer drops" not in capsys.readouterr().out
    flags = (tmp_path / "run" / "train.flags").read_text()
    assert "--tokenizer=unicode" in flags
    model = attngan_tf.load(folder)
    captions = ["\u4e00\u4e01", "\u4e00\u4e02", "\u4e00\u4e02\u3002"]
    assert model.notes(captions) == []
    first, second, third = model.images(captions, [1, 1, 1])
    assert (first != second).any()
    np.testing.assert_array_equal(second, third)


def test_only_what_scores_or_trains_needs_an_image_encoder(
    chinese, tmp_path, capsys
):
    folder = str(tmp_path / "run")
    run(**chinese, workdir=folder)
    printed = capsys.readouterr().out
    assert "name 0 of the 74 words; the tokenizer drops or splits" in printed
    assert "such as \u4e00, \u4e01, \u4e02" in printed
    assert "--tokenizer=unicode can name more" in printed
    assert "own data: 75 words are not cub's 5,450 or coco's 27,297" in printed
    assert f"evaluate --workdir={folder} --backend=inception_v3" in printed
    assert "attngan_tf.train" not in printed
    model = attngan_tf.load(folder)
    images = model.images(["\u4e00"])
    assert images.shape == (1, 256, 256, 3)
    needing = {
        "score": lambda: model.score(["\u4e00"], images),
        "best_of": lambda: generate(
            folder, "--best_of=2", f"--output={tmp_path / 'pictures'}"
        ),
        "train": lambda: assembly.check_encoders(
            Config(workdir=str(tmp_path / "new"), encoders=folder)
        ),
    }
    for name, call in needing.items():
        with pytest.raises(UserError, match="again with --image_enc") as raised:
            call()
        assert folder in str(raised.value), name
    assert not (tmp_path / "pictures").exists()  # fails before it generates
    run(workdir=folder, to_pytorch=tmp_path / "out")
    printed = capsys.readouterr().out
    assert f"not written: image_encoder.pth; {folder} has none" in printed


def generate(workdir, *arguments):
    values = flags.FlagValues()
    generate_command.define_flags(values)
    rest = values(["generate", f"--workdir={workdir}", *arguments, "a bird"])
    generate_command.main(values, rest[1:])
