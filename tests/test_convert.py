"""python -m attngan_tf.convert: published files to a workdir and back."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest
import tensorflow as tf
import torch
from absl import flags
from peers import bad_files, files, networks, sizes
from peers.attention import padding_mask

import attngan_tf
from attngan_tf import convert
from attngan_tf.errors import UserError
from attngan_tf.pretrained import files as published_files

pytestmark = pytest.mark.usefixtures("one_torch_thread")

# The trunk cannot be smaller here.
SIZES = sizes.TINY | {"trunk_width": 1.0}


def run(**given):
    values = flags.FlagValues()
    convert.define_flags(values)
    rest = values(["convert", *(f"--{k}={v}" for k, v in given.items())])
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
    return files.write_published(tmp_path_factory.mktemp("pth"), SIZES)


@pytest.fixture(scope="module")
def workdir(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "run"
    run(**arguments(published, folder))
    return folder


@pytest.fixture(scope="module")
def back(workdir, tmp_path_factory):
    """The workdir's model as PyTorch files."""
    folder = tmp_path_factory.mktemp("back") / "pth"
    run(workdir=workdir, to_pytorch=folder)
    return folder


def test_the_workdir_draws_the_peers_pictures(published, workdir):
    """From captions in words to pictures of 256 pixels."""
    captions = ["waaaa waaab waaae", "WAAAA, unknown waaad!"]
    ids = torch.tensor([[1, 2, 5], [1, 4, 0]])
    lengths = torch.tensor([3, 2])
    rng = np.random.default_rng(0)
    z = rng.standard_normal([2, SIZES["z_size"]], np.float32)
    eps = rng.standard_normal([2, SIZES["condition_size"]], np.float32)
    text = networks.text_encoder(SIZES)
    text.load_state_dict(files.load(published.text_encoder))
    generator = networks.generator(SIZES, released_mask=False)
    generator.load_state_dict(files.load(published.generator))
    with torch.no_grad():
        words, sentences = text.eval()(ids, lengths)
        expected = generator.eval()(
            torch.from_numpy(z),
            torch.from_numpy(eps),
            sentences,
            words,
            padding_mask(ids),
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


def test_the_workdir_is_complete(workdir, published):
    assert {path.name for path in workdir.iterdir()} == {
        "config.json",
        "vocab.txt",
        "damsm",
        "gan",
        "train.flags",
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


def test_there_and_back_is_bit_equal(workdir, back, tmp_path):
    again = tmp_path / "again"
    run(
        text_encoder=back / "text_encoder.pth",
        image_encoder=back / "image_encoder.pth",
        generator=back / "netG.pth",
        discriminators=",".join(str(back / f"netD{i}.pth") for i in range(3)),
        captions_pickle=back / "captions.pickle",
        workdir=again,
    )
    assert (again / "vocab.txt").read_text() == (
        workdir / "vocab.txt"
    ).read_text()
    for part in ("damsm/best", "gan"):
        one, other = (
            tf.train.load_checkpoint(str(folder / part))
            for folder in (workdir, again)
        )
        shapes = one.get_variable_to_shape_map()
        assert shapes == other.get_variable_to_shape_map()
        assert len(shapes) > 50
        for name in shapes:
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
                np.testing.assert_array_equal(
                    one.get_tensor(name), other.get_tensor(name), name
                )


def test_released_networks_load_what_is_written(published, back):
    judges = networks.discriminators(SIZES)
    for name, network, path in (
        ("netG", networks.generator(SIZES), published.generator),
        ("text_encoder", networks.text_encoder(SIZES), None),
        ("image_encoder", networks.image_encoder(SIZES), None),
        ("netD0", judges[0], published.discriminators[0]),
        ("netD2", judges[2], published.discriminators[2]),
    ):
        state = files.load(back / f"{name}.pth")
        network.load_state_dict(state)
        if path is not None:
            for key, value in files.load(path).items():
                assert torch.equal(state[key], value), key
    _, _, words, ids = pickle.loads((back / "captions.pickle").read_bytes())
    assert words[3] == "waaac"
    assert ids["waaac"] == 3


def test_the_image_encoder_written_sees_the_same(published, back):
    pictures = torch.rand(1, 3, 256, 256) * 2 - 1
    one, other = networks.image_encoder(SIZES), networks.image_encoder(SIZES)
    one.load_state_dict(files.load(published.image_encoder))
    other.load_state_dict(files.load(back / "image_encoder.pth"))
    with torch.no_grad():
        for a, b in zip(
            one.eval()(pictures), other.eval()(pictures), strict=True
        ):
            assert (a - b).abs().max() < 1e-4 * a.abs().max()


def test_training_goes_on_from_a_converted_model(
    workdir, birds_folder, tmp_path, monkeypatch
):
    from attngan_tf import train
    from attngan_tf.cli import command
    from attngan_tf.training.gan_trainer import GanTrainer

    # Scoring by Inception-v3 takes a minute, and is tested elsewhere.
    monkeypatch.setattr(GanTrainer, "_score", lambda *_: None)
    folder = tmp_path / "run"
    shutil.copytree(workdir, folder)
    # 20 pictures of 256 pixels take a minute and a half.
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
            "--gan_steps=1",
            "--evaluation_interval=9",
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
    bad_files.write_malicious(bad, marker, form)
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="refused"):
        run(**arguments(published, folder, **{kind: bad}))
    assert not marker.exists()
    assert not folder.exists()


def _changed(published, tmp_path, change):
    state = files.load(published.generator)
    change(state)
    path = tmp_path / "netG.pth"
    files.save(state, path, format="zip")
    return {"generator": path}


def _other_captions(published, tmp_path, size=21):
    path = tmp_path / "captions.pickle"
    files.save_captions(files.random_captions(size), path)
    return {"captions_pickle": path}


def _pointer(published, tmp_path):
    path = tmp_path / "captions.pickle"
    bad_files.write_lfs_pointer(path)
    return {"captions_pickle": path}


def _with_one_wide(published, tmp_path):
    wide = networks.discriminators(SIZES | {"df": 8})[2]
    files.save(files.state(wide), tmp_path / "netD2.pth")
    return [*published.discriminators[:2], tmp_path / "netD2.pth"]


def _half_a_pair(published, tmp_path):
    path = tmp_path / "captions.pickle"
    words = ["<end>", "a\ud800"]
    ids = {word: i for i, word in enumerate(words)}
    path.write_bytes(pickle.dumps([[], [], dict(enumerate(words)), ids]))
    return {"captions_pickle": path}


HEAD = "img_net2.img.0.weight"
MISTAKES = {
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
    "surrogate": (_half_a_pair, "texts without white space; received"),
    "one_discriminator": (
        lambda published, _: {"discriminators": published.discriminators[0]},
        "of 64, 128, 256 pixels; received 1, of 64",
    ),
    "widths": (
        lambda published, tmp_path: {
            "discriminators": ",".join(
                map(str, _with_one_wide(published, tmp_path))
            )
        },
        "all of one DF; received DF 4, 8",
    ),
    "to_pytorch": (lambda *_: {"to_pytorch": "x"}, "nothing else; received"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(published, tmp_path, name):
    change, said = MISTAKES[name]
    folder = tmp_path / "new" / "run"
    with pytest.raises(UserError) as raised:
        run(**arguments(published, folder, **change(published, tmp_path)))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not folder.exists()
    assert not list(tmp_path.glob("new/.*"))


def test_a_workdir_is_never_written_over(published, workdir):
    with pytest.raises(UserError, match="--workdir must be new"):
        run(**arguments(published, workdir))


def test_it_says_whether_files_are_the_authors(
    published, tmp_path, monkeypatch, capsys
):
    blob = published_files.blob_id(str(published.generator))
    monkeypatch.setitem(published_files.AUTHENTIC, blob, "bird generator")
    given = arguments(published, tmp_path / "run", discriminators="")
    run(**given)
    said = capsys.readouterr().out
    assert f"{published.generator}: the authentic bird generator" in said
    assert f"{published.captions}: none whose id is known" in said
    assert "new discriminators" in said


def test_published_files_are_never_written_over(published, workdir):
    folder = published.captions.parent
    before = published.captions.read_bytes()
    with pytest.raises(UserError, match="--to_pytorch must be new"):
        run(workdir=workdir, to_pytorch=folder)
    assert published.captions.read_bytes() == before


def test_encoders_of_other_conventions_are_not_adopted(workdir, tmp_path):
    from attngan_tf.config import Config
    from attngan_tf.training import assembly

    theirs = Config.load(str(workdir))
    other = dataclasses.replace(
        theirs,
        workdir=str(tmp_path),
        encoders=str(workdir),
        inception_padding="keras",
    )
    with pytest.raises(UserError, match="--inception_padding must be that"):
        assembly.adopt_encoders(other)


def test_models_the_released_code_cannot_have_are_refused(
    tiny_workdir, tmp_path
):
    with pytest.raises(UserError, match=r"128 and 256 pixels.*are of 8, 16"):
        run(workdir=tiny_workdir, to_pytorch=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def with_fields(workdir, folder, **fields):
    """A copy of a workdir whose config.json says something else."""
    shutil.copytree(workdir, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def test_a_projected_discriminator_is_not_written(workdir, tmp_path, capsys):
    other = with_fields(workdir, tmp_path / "run", discriminator="projected")
    run(workdir=other, to_pytorch=tmp_path / "out")
    said = capsys.readouterr().out
    assert "not written: the last stage's discriminator" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"netG.pth", "netD0.pth", "netD1.pth"} < names
    assert "netD2.pth" not in names


def test_generators_without_the_first_images_are_refused(workdir, tmp_path):
    other = with_fields(workdir, tmp_path / "run", discriminator_stages="last")
    with pytest.raises(UserError, match="--discriminator_stages=last"):
        run(workdir=other, to_pytorch=tmp_path / "out")
    assert not (tmp_path / "out").exists()
