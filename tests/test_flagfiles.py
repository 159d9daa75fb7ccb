"""The shipped flagfiles: their settings, and that they train."""

import dataclasses
import pathlib

import numpy as np
import pytest
from absl import flags

from attngan_tf.benchmarking import programs
from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.models.image_encoder import small_backbone
from attngan_tf.training import damsm_trainer, gan_trainer

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
SHIPPED = sorted(CONFIGS.rglob("*.flags"))
ROWS = sorted((CONFIGS / "experiments").glob("*.flags"))

# Small sizes, which leave the other settings of flagfiles unchanged.
SMALL = {
    "dataset": "folder",
    "base_size": 8,
    "gf": 2,
    "df": 2,
    "feature_size": 8,
    "embedding_size": 4,
    "z_size": 4,
    "condition_size": 4,
    "words_num": 6,
    "damsm_batch_size": 6,
    "batch_size": 4,
}


def parse(monkeypatch, path: pathlib.Path, *arguments: str) -> Config:
    """A flagfile's configuration, read in the repository's folder."""
    monkeypatch.chdir(ROOT)
    values = flags.FlagValues()
    command.define_config_flags(values)
    values(["train", f"--flagfile={path.relative_to(ROOT)}", *arguments])
    return command.config_from_flags(values)


def test_every_shipped_flagfile_parses(monkeypatch):
    for path in SHIPPED:
        found = parse(monkeypatch, path, "--data_dir=somewhere")
        assert pathlib.Path(found.workdir).name == path.stem


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("lambda_0.1", {"damsm_lambda": 0.1}),
        ("lambda_1", {"damsm_lambda": 1.0}),
        ("lambda_5", {}),
        ("lambda_10", {"damsm_lambda": 10.0}),
        (
            "no_damsm",
            {"damsm_lambda": 0.0, "text_training": "joint_embedding"},
        ),
        ("attention_none", {"attention": "none"}),
    ],
)
def test_a_row_of_the_experiment_changes_one_thing(monkeypatch, name, changes):
    folder = CONFIGS / "experiments"
    assert {path.stem for path in ROWS} >= {name, "base"}
    base = parse(monkeypatch, folder / "base.flags")
    assert base.image_sizes == (32, 64)
    row = parse(monkeypatch, folder / f"{name}.flags")
    changes = {"workdir": f"runs/experiments/{name}", **changes}
    assert row == dataclasses.replace(base, **changes)


@pytest.fixture
def no_inception(monkeypatch):
    """A small fixed network instead of Inception-v3, which is slow to build.

    Inception-v3 itself is trained in test_train.py.
    """

    def backbone(size, layer, weights, dtype, images, count_padding):
        del layer, weights, images, count_padding
        network = small_backbone(size, dtype)
        network.trainable = False
        return network

    monkeypatch.setattr(build, "inception_backbone", backbone)


def two_steps(step, batches, after=lambda: None) -> list[dict[str, float]]:
    """The terms of two uncompiled steps of a stage on its own batches."""
    found = []
    for batch in batches.whole_batches().take(2):
        terms = step(batch)
        after()
        found.append({name: float(value) for name, value in terms.items()})
    return found


# Fields that choose other networks or losses; a family has the same values.
FAMILY = (
    "generator",
    "attention",
    "discriminator",
    "discriminator_stages",
    "text_training",
    "damsm_stages",
    "finetune_damsm",
    "gan_mismatched_pairs",
    "discriminator_augmentation",
)


def test_families_have_all_shipped_values(monkeypatch):
    """Of the fields above, but for values that no flagfile has."""
    found = {name: set() for name in FAMILY}
    for path in SHIPPED:
        config = parse(monkeypatch, path)
        for name in FAMILY:
            found[name].add(getattr(config, name))
    assert {name for name, values in found.items() if len(values) == 1} == set()


@pytest.mark.slow
def test_two_steps_of_both_stages_of_each_family(
    monkeypatch, no_inception, tiny_data
):
    tried = set()
    for path in SHIPPED:
        config = parse(monkeypatch, path)
        family = tuple(getattr(config, name) for name in FAMILY)
        if family not in tried:
            tried.add(family)
            check_two_steps(config, tiny_data)
    assert len(tried) > 5


def check_two_steps(given: Config, data) -> None:
    """Trains the networks of a flagfile in a small size."""
    size = 75 if given.image_encoder == "inception_v3" else 32
    # Images, not indices into a cache, which test_train.py has.
    fields = SMALL | {"image_encoder_size": size, "damsm_cached_views": 0}
    config = dataclasses.replace(given, **fields)
    batches = damsm_trainer.training_data(config, data)
    encoders = damsm_trainer.damsm_step(
        config,
        *programs.fresh_encoders(config, data),
        batches.steps_per_epoch,
    )
    trained = {encoders.text_encoder: encoders.text_encoder.get_weights()}
    terms = two_steps(encoders, batches)
    step = gan_trainer.gan_step(
        config, encoders.text_encoder, encoders.image_encoder
    )
    networks = step.generator, step.average, *step.discriminators.values()
    trained |= {network: network.get_weights() for network in networks}
    terms += two_steps(
        step, gan_trainer.training_data(config, data), step.update_average
    )
    for network, before in trained.items():
        after = network.get_weights()
        assert not all(map(np.array_equal, before, after)), network.name
    assert all(np.isfinite([x for row in terms for x in row.values()]))
    assert ("damsm/total" in terms[-1]) == bool(given.damsm_lambda)
    stages = [f"generator_{8 * 2**i}/total" for i in range(given.num_stages)]
    if given.generator == "attndcgan" or given.discriminator_stages == "last":
        stages = stages[-1:]
    assert {x for x in terms[-1] if x.startswith("generator_")} >= {*stages}
