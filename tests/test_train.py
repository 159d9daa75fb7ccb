"""Whole runs: the files they write, and how they are resumed."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.summary.summary_iterator import summary_iterator

import attngan_tf
from attngan_tf.benchmarking import machine
from attngan_tf.cli.interruption import Interruption
from attngan_tf.data import catalog, prepared_data
from attngan_tf.encoders import load_encoders
from attngan_tf.errors import UserError
from attngan_tf.train import _warn_about_slow_precision, train
from attngan_tf.training import distribution
from attngan_tf.training.gan_trainer import GanTrainer
from tests.tools.kills import differences


def rows(workdir, stage: str, name: str) -> dict[int, float]:
    """A term of every report of a stage, by step."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {
        row["step"]: row[name]
        for row in found
        if row["stage"] == stage and name in row
    }


@pytest.fixture
def copied(tiny_workdir, tmp_path) -> pathlib.Path:
    """A copy of a tiny run that is done."""
    shutil.copytree(tiny_workdir, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def one_class(birds_folder, tmp_path) -> str:
    """The tiny birds as images of a single class, in the folder layout."""
    folder = tmp_path / "one_class"
    for split in ("train", "test"):
        names = (birds_folder / f"{split}.txt").read_text().split()
        for kind, ending in (("images", "png"), ("text", "txt")):
            (folder / kind / "bird").mkdir(parents=True, exist_ok=True)
            for i, name in enumerate(names):
                shutil.copy(
                    birds_folder / kind / f"{name}.{ending}",
                    folder / kind / "bird" / f"{split}_{i}.{ending}",
                )
        lines = [f"bird/{split}_{i}\n" for i in range(len(names))]
        (folder / f"{split}.txt").write_text("".join(lines))
    return str(folder)


def test_a_run_writes_the_files_of_the_design(tiny_workdir):
    for name in ("config.json", "vocab.txt", "metrics.jsonl", "DONE"):
        assert (tiny_workdir / name).is_file()
    for stage in ("damsm", "gan"):
        folder = tiny_workdir / stage
        assert tf.train.latest_checkpoint(folder)
        assert tf.train.latest_checkpoint(folder / "best")
        folder = tiny_workdir / "tensorboard" / stage
        assert any(
            event.graph_def
            for file in folder.iterdir()
            for event in summary_iterator(str(file))
        )
    grid = Image.open(tiny_workdir / "samples" / "gan_grid_0000004.png")
    assert np.asarray(grid).std() > 10
    captions = grid.text["caption"].splitlines()
    assert len(captions) == len(set(captions)) > 1
    assert grid.text["seed"].splitlines() == [*map(str, range(len(captions)))]
    assert grid.text["step"] == "4"
    assert (tiny_workdir / "samples" / "gan_attention_0000004.png").is_file()
    fields = json.loads((tiny_workdir / "config.json").read_text())
    assert set(fields["versions"]) == {"tensorflow", "keras", "attngan_tf"}


def test_every_term_is_reported(tiny_workdir):
    for size in (8, 16):
        for term in ("real_unconditional", "fake_conditional", "total"):
            name = f"discriminator_{size}/{term}"
            assert sorted(rows(tiny_workdir, "gan", name)) == [1, 2, 3, 4]
    total = rows(tiny_workdir, "gan", "generator/total")
    names = ("generator/kl", "generator_8/total", "generator_16/total")
    names += ("damsm/total",)
    parts = [rows(tiny_workdir, "gan", name) for name in names]
    for step, value in total.items():
        kl, small, large, damsm = (part[step] for part in parts)
        assert value == pytest.approx(kl + small + large + 5.0 * damsm, 1e-5)
    assert rows(tiny_workdir, "damsm", "real_r_precision")
    assert rows(tiny_workdir, "gan", "r_precision")
    # Batches of 4 of 24 images.
    epochs = rows(tiny_workdir, "gan", "epoch")
    assert epochs == {4: pytest.approx(4 * 4 / 24)}


@pytest.mark.parametrize(
    ("precision", "lacks", "warned"),
    [
        ("mixed_bfloat16", True, True),
        ("mixed_bfloat16", False, False),
        ("float32", True, False),
    ],
)
def test_a_slow_precision_causes_a_warning(
    monkeypatch, tiny_config, capsys, precision, lacks, warned
):
    monkeypatch.setattr(machine, "lacks_bfloat16", lambda: lacks)
    _warn_about_slow_precision(tiny_config(precision=precision))
    lines = capsys.readouterr().err.splitlines()
    assert [x.startswith("warning: ") for x in lines] == [True] * warned


def forget(workdir: pathlib.Path, stage: str, step: int) -> None:
    """Makes the checkpoint of `step` the last one of a stage."""
    for path in (workdir / stage).glob("ckpt-4.*"):
        path.unlink()
    assert list((workdir / stage).glob(f"ckpt-{step}.index"))
    (workdir / "metrics.jsonl").unlink()


def test_encoder_training_resumes_bit_for_bit(
    tiny_config, tiny_workdir, copied
):
    forget(copied, "damsm", 3)
    shutil.rmtree(copied / "gan")
    train(tiny_config(workdir=str(copied), stage="damsm"))
    expected = rows(tiny_workdir, "damsm", "total")
    assert rows(copied, "damsm", "total") == {4: expected[4]}


def test_data_that_changed_is_reported(
    tiny_config, copied, birds_folder, tmp_path, capsys
):
    train(tiny_config(workdir=str(copied)))
    assert "has changed" not in capsys.readouterr().out
    folder = tmp_path / "birds"
    shutil.copytree(birds_folder, folder)
    some = next((folder / "text").rglob("*.txt"))
    some.write_text(f"{some.read_text()}a red bird\n")
    for expected in (True, False):  # once only
        train(tiny_config(workdir=str(copied), data_dir=str(folder)))
        out = capsys.readouterr().out
        found = re.search("data has changed .*: captions of (train|test);", out)
        assert bool(found) == expected


@pytest.mark.slow
def test_gan_training_resumes_bit_for_bit(tiny_config, tiny_workdir, copied):
    forget(copied, "gan", 2)
    train(tiny_config(workdir=str(copied)))
    expected = rows(tiny_workdir, "gan", "generator/total")
    found = rows(copied, "gan", "generator/total")
    assert found == {step: expected[step] for step in (3, 4)}
    assert differences(tiny_workdir, copied) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"discriminator": "projected", "damsm_ramp_steps": 3},
        {"finetune_damsm": True, "ema_warmup": True}
        | {"discriminator_augmentation": True, "ema_statistics": "measured"},
    ],
    ids=["projected", "finetuned"],
)
def test_other_settings_resume_bit_for_bit(
    tiny_config, tiny_workdir, tmp_path, fields
):
    whole, halves = str(tmp_path / "whole"), str(tmp_path / "halves")
    fields |= {"encoders": str(tiny_workdir), "sample_interval": 100}
    train(tiny_config(workdir=whole, **fields))
    train(tiny_config(workdir=halves, **fields, gan_steps=2))
    train(tiny_config(workdir=halves, **fields))
    one, two = (rows(x, "gan", "generator/total") for x in (whole, halves))
    assert len(one) == 4
    assert one == two
    assert not rows(whole, "damsm", "total")


def test_another_configuration_is_refused(tiny_config, tiny_workdir):
    other = tiny_config(workdir=str(tiny_workdir), gf=8, damsm_lambda=1.0)
    with pytest.raises(UserError) as raised:
        train(other)
    message = str(raised.value)
    assert "gf: 4 there, 8 here" in message
    assert "damsm_lambda: 5.0 there, 1.0 here" in message
    assert "\n" not in message


def test_a_user_error_before_training_leaves_the_folder_free(
    tiny_config, tmp_path
):
    with pytest.raises(UserError, match="--captions_per_image"):
        train(tiny_config(workdir=str(tmp_path), captions_per_image=99))
    assert not (tmp_path / "config.json").exists()


def test_encoders_of_another_run_are_copied(
    tiny_config, tiny_workdir, tmp_path
):
    fields = {"workdir": str(tmp_path), "encoders": str(tiny_workdir)}
    with pytest.raises(UserError, match="--feature_size must be that of"):
        train(tiny_config(**fields, feature_size=8))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    train(tiny_config(**fields, gan_steps=0))
    files = sorted(
        path.name for path in (tmp_path / "damsm" / "best").iterdir()
    )
    assert files
    for name in ["vocab.txt", *(f"damsm/best/{file}" for file in files)]:
        expected = (tiny_workdir / name).read_bytes()
        assert (tmp_path / name).read_bytes() == expected
    # A run that failed before its first report leaves the folder to others.
    (tmp_path / "metrics.jsonl").unlink(missing_ok=True)
    other = tiny_config(workdir=str(tmp_path), gf=8, stage="gan")
    with pytest.raises(UserError, match="train that stage first"):
        train(other)
    assert not (tmp_path / "damsm" / "best").exists()


def test_own_encoders_are_never_removed(tiny_config, copied):
    """Even if only the best ones are left."""
    for path in (copied / "gan", copied / "metrics.jsonl"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (copied / "damsm").glob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(UserError, match="gf: 4 there, 8 here"):
        train(tiny_config(workdir=str(copied), gf=8))
    assert (copied / "damsm" / "best").exists()


def test_encoders_must_be_those_of_a_trained_run(tiny_config, tmp_path):
    workdir, missing = tmp_path / "run", tmp_path / "missing"
    fields = {"workdir": str(workdir), "encoders": str(missing)}
    with pytest.raises(UserError, match="--encoders must name a workdir"):
        train(tiny_config(**fields))
    assert not (workdir / "config.json").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"damsm_steps": None, "damsm_epochs": 1, "damsm_batch_size": 48},
            "1 times 24 training images, fewer than --damsm_batch_size=48",
        ),
        (
            {"gan_steps": None, "gan_epochs": 2, "batch_size": 50},
            "2 times 24 training images, fewer than --batch_size=50",
        ),
        ({"gan_learning_rate": 0.0}, "--gan_learning_rate must be above 0"),
        ({"damsm_gamma3": 0.0}, "--damsm_gamma3 must be above 0"),
    ],
)
def test_a_stage_that_would_learn_nothing_is_refused(
    tiny_config, tmp_path, fields, message
):
    with pytest.raises(UserError, match=message):
        train(tiny_config(workdir=str(tmp_path), **fields))
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("fields", "flag"),
    [
        ({"damsm_same_class_mask": True}, "--damsm_same_class_mask"),
        (
            {"text_training": "joint_embedding", "damsm_lambda": 0.0},
            "--text_training",
        ),
    ],
)
def test_losses_that_compare_classes_need_two(
    tiny_config, one_class, tmp_path, fields, flag
):
    """With one class, every pair is left out, and nothing is learned."""
    workdir = tmp_path / "run"
    config = tiny_config(data_dir=one_class, workdir=str(workdir), **fields)
    with pytest.raises(UserError, match=f"{flag} must be .* of a single class"):
        train(config)
    assert not (workdir / "config.json").exists()
    train(tiny_config(data_dir=one_class, workdir=str(workdir), stage="damsm"))


def weights(*networks) -> list[np.ndarray]:
    return [w for network in networks for w in network.get_weights()]


@pytest.mark.slow
def test_finetuned_encoders_belong_to_the_checkpoint_of_the_gan(
    tiny_config, tiny_workdir, tmp_path
):
    """`load` and `load_encoders` use those of the same step."""
    config = tiny_config(
        workdir=str(tmp_path),
        encoders=str(tiny_workdir),
        finetune_damsm=True,
        damsm_learning_rate=0.02,
    )
    train(dataclasses.replace(config, gan_steps=2))
    data = prepared_data.read_data(catalog.open_configured(config))
    strategy = distribution.make_strategy(config)
    stage = GanTrainer(config, strategy, data, Interruption())
    stage.run()
    last = weights(stage.text_encoder, stage.image_encoder)
    for step, same in (("2", False), ("4", True)):
        model = attngan_tf.load(str(tmp_path), step)
        alone = load_encoders(str(tmp_path), which=step)
        ours = weights(model.text_encoder, model.image_encoder)
        theirs = weights(
            alone.caption_encoder.text_encoder, alone.image_encoder
        )
        assert all(map(np.array_equal, ours, theirs))
        assert all(map(np.array_equal, ours, last)) == same


def test_encoders_of_a_started_gan_are_not_trained(tiny_config, copied):
    with pytest.raises(UserError, match="encoders of step 4") as raised:
        train(tiny_config(workdir=str(copied), damsm_steps=8))
    assert "received 8 encoder steps" in str(raised.value)
    assert not (copied / "DONE").exists()


@pytest.mark.slow
def test_inception_with_cached_features(tiny_config, tmp_path):
    """The settings of configs/cub_small.flags, but for trained weights.

    In bfloat16 if the processor has it; otherwise that takes ten minutes.
    """
    low = "float32" if machine.lacks_bfloat16() else "mixed_bfloat16"
    config = tiny_config(
        workdir=str(tmp_path),
        **{"image_encoder": "inception_v3", "image_encoder_size": 75},
        **{"inception_weights": "none", "damsm_cached_views": 2},
        **{"precision": low, "damsm_steps": 4, "gan_steps": 2},
        **{"discriminator": "projected", "keep_checkpoints": 1},
    )
    train(config)
    features = tmp_path / "damsm" / "features"
    regions = np.load(features / "regions.npy")
    assert regions.shape == (48, 9, 768)  # two views of 24 images
    assert regions.dtype == np.float16
    # All views differ, and each was written.
    assert len({view.tobytes() for view in regions}) == 48
    assert np.abs(regions).max(axis=(1, 2)).min() > 0
    assert len(rows(tmp_path, "gan", "damsm/total")) == 2
    state = tf.train.get_checkpoint_state(tmp_path / "gan")
    assert len(state.all_model_checkpoint_paths) == 1
    # Inception-v3, which the discriminator reads, has 87 MB.
    sizes = [path.stat().st_size for path in (tmp_path / "gan").glob("ckpt-*")]
    assert sum(sizes) < 10e6
    before = (features / "pooled.npy").stat().st_mtime_ns
    (features / "regions.npy").unlink()  # it is computed again
    shutil.rmtree(tmp_path / "gan")
    train(dataclasses.replace(config, damsm_steps=5, stage="damsm"))
    assert (features / "pooled.npy").stat().st_mtime_ns > before
    np.testing.assert_array_equal(np.load(features / "regions.npy"), regions)


def test_a_changed_vocabulary_is_refused(copied):
    words = (copied / "vocab.txt").read_text().splitlines()
    (copied / "vocab.txt").write_text("\n".join([*words, "extra"]) + "\n")
    with pytest.raises(UserError) as raised:
        attngan_tf.load(str(copied))
    assert f"{len(words) + 1} words" in str(raised.value)
    assert f"{len(words)} embeddings" in str(raised.value)
