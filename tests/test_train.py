"""Whole runs: what they leave, and how they go on."""

import dataclasses
import json
import pathlib
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
from attngan_tf.evaluation.evaluator import Evaluator
from attngan_tf.train import _warn_of_slow_precision, train
from attngan_tf.training import distribution
from attngan_tf.training.gan_trainer import GanTrainer
from attngan_tf.training.loop import NonFiniteLossError


def rows(workdir, stage: str, name: str) -> dict[int, float]:
    """A term of every report of a stage, by step."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {
        row["step"]: row[name]
        for row in found
        if row["stage"] == stage and name in row
    }


def test_a_run_leaves_what_the_design_says(tiny_workdir):
    for name in ("config.json", "vocab.txt", "metrics.jsonl", "DONE"):
        assert (tiny_workdir / name).is_file()
    for stage in ("damsm", "gan"):
        folder = tiny_workdir / stage
        assert tf.train.latest_checkpoint(folder)
        assert tf.train.latest_checkpoint(folder / "best")
        assert list((tiny_workdir / "tensorboard" / stage).iterdir())
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
    parts = [
        rows(tiny_workdir, "gan", name)
        for name in (
            "generator/kl",
            "generator_8/total",
            "generator_16/total",
            "damsm/total",
        )
    ]
    for step, value in total.items():
        kl, small, large, damsm = (part[step] for part in parts)
        assert value == pytest.approx(kl + small + large + 5.0 * damsm, 1e-5)
    assert rows(tiny_workdir, "damsm", "real_r_precision")
    assert rows(tiny_workdir, "gan", "r_precision")
    # Batches of 4 of 24 pictures.
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
def test_a_slow_precision_is_warned_of(
    monkeypatch, tiny_config, capsys, precision, lacks, warned
):
    monkeypatch.setattr(machine, "lacks_bfloat16", lambda: lacks)
    _warn_of_slow_precision(tiny_config(precision=precision))
    lines = capsys.readouterr().err.splitlines()
    assert [x.startswith("warning: ") for x in lines] == [True] * warned


@pytest.mark.slow
def test_two_halves_are_one_whole(tiny_config, tmp_path):
    whole, halves = str(tmp_path / "whole"), str(tmp_path / "halves")
    fields = {"damsm_steps": 6, "gan_steps": 6, "ema_warmup": True}
    fields |= {"discriminator_augmentation": True, "sample_interval": 100}
    fields |= {"finetune_damsm": True}
    train(tiny_config(workdir=whole, **fields))
    train(
        tiny_config(
            workdir=halves, **fields | {"damsm_steps": 3} | {"stage": "damsm"}
        )
    )
    train(tiny_config(workdir=halves, **fields | {"gan_steps": 3}))
    train(tiny_config(workdir=halves, **fields))
    for stage, term in (("damsm", "total"), ("gan", "generator/total")):
        one, two = (rows(workdir, stage, term) for workdir in (whole, halves))
        assert len(one) == 6
        assert one == two  # bit for bit


@pytest.mark.slow
def test_a_projected_discriminator_goes_on(tiny_config, tiny_workdir, tmp_path):
    whole, halves = str(tmp_path / "whole"), str(tmp_path / "halves")
    fields = {"discriminator": "projected", "damsm_ramp_steps": 3}
    fields |= {"encoders": str(tiny_workdir), "sample_interval": 100}
    train(tiny_config(workdir=whole, **fields))
    train(tiny_config(workdir=halves, **fields, gan_steps=2))
    train(tiny_config(workdir=halves, **fields))
    one, two = (rows(x, "gan", "generator/total") for x in (whole, halves))
    assert len(one) == 4
    assert one == two  # bit for bit


def test_another_configuration_is_refused(tiny_config, tiny_workdir):
    other = tiny_config(workdir=str(tiny_workdir), gf=8, damsm_lambda=1.0)
    with pytest.raises(UserError) as raised:
        train(other)
    said = str(raised.value)
    assert "gf: 4 there, 8 here" in said
    assert "damsm_lambda: 5.0 there, 1.0 here" in said
    assert "\n" not in said


def test_a_mistake_before_training_binds_the_folder_to_nothing(
    tiny_config, tmp_path
):
    with pytest.raises(UserError, match="--captions_per_image"):
        train(tiny_config(workdir=str(tmp_path), captions_per_image=99))
    assert not (tmp_path / "config.json").exists()


@pytest.mark.slow
def test_encoders_of_another_run(tiny_config, tiny_workdir, tmp_path):
    fields = {"workdir": str(tmp_path), "encoders": str(tiny_workdir)}
    with pytest.raises(UserError, match="--feature_size must be that of"):
        train(tiny_config(**fields, feature_size=8))
    with pytest.raises(UserError, match="--text_training must be that of"):
        train(
            tiny_config(
                **fields, text_training="joint_embedding", damsm_lambda=0.0
            )
        )
    train(tiny_config(**fields, gan_steps=2))
    paths = [
        tf.train.latest_checkpoint(folder / "damsm" / "best")
        for folder in (tiny_workdir, tmp_path)
    ]
    theirs, ours = map(tf.train.load_checkpoint, paths)
    for name in theirs.get_variable_to_shape_map():
        np.testing.assert_array_equal(
            ours.get_tensor(name), theirs.get_tensor(name)
        )
    assert not rows(tmp_path, "damsm", "total")
    assert len(rows(tmp_path, "gan", "generator/total")) == 2
    with pytest.raises(UserError, match="encoders"):  # they would be replaced
        train(tiny_config(workdir=str(tmp_path)))


def weights(*networks) -> list[np.ndarray]:
    return [w for network in networks for w in network.get_weights()]


@pytest.mark.slow
def test_tuned_encoders_are_those_of_the_gans_checkpoint(tiny_config, tmp_path):
    fields = {"workdir": str(tmp_path), "finetune_damsm": True}
    fields |= {"damsm_learning_rate": 0.02, "evaluation_interval": 2}
    train(tiny_config(**fields, stage="damsm"))
    data = prepared_data.read_data(
        catalog.open_configured(tiny_config(**fields))
    )
    found = []
    for steps in (2, 4):
        config = tiny_config(**fields, gan_steps=steps)
        strategy = distribution.make_strategy(config)
        stage = GanTrainer(config, strategy, data, Interruption())
        stage.run()
        found.append(weights(stage.text_encoder, stage.image_encoder))
    assert not any(map(np.array_equal, *found))
    for step, expected in zip(("2", "4"), found, strict=True):
        model = attngan_tf.load(str(tmp_path), step)
        alone = load_encoders(str(tmp_path), which=step)
        for text_encoder, image_encoder in (
            (model.text_encoder, model.image_encoder),
            (alone.caption_encoder.text_encoder, alone.image_encoder),
        ):
            ours = weights(text_encoder, image_encoder)
            for a, b in zip(ours, expected, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_scores_are_by_the_encoders_as_they_are(tiny_config, tmp_path):
    config = tiny_config(
        workdir=str(tmp_path),
        finetune_damsm=True,
        damsm_learning_rate=0.02,
        evaluation_interval=2,
    )
    train(config)
    model = attngan_tf.load(str(tmp_path))
    data = prepared_data.read_data(catalog.open_configured(config))
    (score,) = Evaluator(
        model=model,
        encoders=model.encoders,
        extractor=None,
        data=data,
        split="test",
        metrics=["fid"],
        num_images=100,
    ).score()
    reported = rows(tmp_path, "gan", "frechet")
    assert reported.keys() == {2, 4}
    assert reported[4] == pytest.approx(score.generated.mean, rel=1e-3)


def test_encoders_of_a_begun_gan_are_not_trained_on(
    tiny_config, tiny_workdir, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_workdir, copy)
    with pytest.raises(UserError, match="encoders of step 4") as raised:
        train(tiny_config(workdir=str(copy), damsm_steps=8))
    assert "received 8 steps" in str(raised.value)
    assert not (copy / "DONE").exists()


@pytest.mark.slow
def test_inception_with_kept_features(tiny_config, tmp_path):
    """What configs/cub_small.flags asks for, but for trained weights.

    In bfloat16 where the processor has it; elsewhere it takes ten minutes.
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
    assert regions.shape == (48, 9, 768)  # two views of 24 pictures
    assert regions.dtype == np.float16
    # No two views are alike, and every one was written.
    assert len({view.tobytes() for view in regions}) == 48
    assert np.abs(regions).max(axis=(1, 2)).min() > 0
    assert len(rows(tmp_path, "gan", "damsm/total")) == 2
    state = tf.train.get_checkpoint_state(tmp_path / "gan")
    assert len(state.all_model_checkpoint_paths) == 1
    # Inception-v3, which the discriminator reads, has 87 MB.
    sizes = [path.stat().st_size for path in (tmp_path / "gan").glob("ckpt-*")]
    assert sum(sizes) < 10e6
    before = (features / "pooled.npy").stat().st_mtime_ns
    (features / "regions.npy").unlink()  # to make room: it is made again
    shutil.rmtree(tmp_path / "gan")
    train(dataclasses.replace(config, damsm_steps=5, stage="damsm"))
    assert (features / "pooled.npy").stat().st_mtime_ns > before
    np.testing.assert_array_equal(np.load(features / "regions.npy"), regions)


def test_a_changed_vocabulary_is_refused(tiny_workdir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_workdir, copy)
    words = (copy / "vocab.txt").read_text().splitlines()
    (copy / "vocab.txt").write_text("\n".join([*words, "extra"]) + "\n")
    with pytest.raises(UserError) as raised:
        attngan_tf.load(str(copy))
    assert f"{len(words) + 1} words" in str(raised.value)
    assert f"{len(words)} embeddings" in str(raised.value)


def test_a_non_finite_loss_stops(tiny_config, tmp_path):
    config = tiny_config(
        workdir=str(tmp_path), damsm_steps=40, damsm_learning_rate=1e30
    )
    with pytest.raises(NonFiniteLossError, match=r"at step \d+"):
        train(config)
    path = tf.train.latest_checkpoint(tmp_path / "damsm")
    if path is not None:  # what was saved before is good
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            value = reader.get_tensor(name)
            if isinstance(value, np.ndarray) and value.dtype == np.float32:
                assert np.isfinite(value).all() or "best_score" in name
