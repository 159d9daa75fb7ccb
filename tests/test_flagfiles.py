"""The shipped flagfiles: what they say, and that they train."""

import dataclasses
import json
import pathlib

import pytest
from absl import flags

import attngan_tf
from attngan_tf import command
from attngan_tf.config import Config
from attngan_tf.models import build
from attngan_tf.models.image_encoder import small_trunk
from attngan_tf.train import train

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
SHIPPED = sorted(p for p in CONFIGS.rglob("*") if p.is_file())
ROWS = sorted((CONFIGS / "experiments").glob("*.flags"))

# What makes a run short and narrow, and leaves alone what flagfiles are about.
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
    "damsm_steps": 2,
    "gan_steps": 2,
    "log_interval": 1,
    "evaluation_images": 100,
    "inception_weights": "none",
}
PLACES = ("workdir", "data_dir", "prepared_dir")


def parse(monkeypatch, path: pathlib.Path, *arguments: str) -> Config:
    """A flagfile's configuration, read in the repository's folder."""
    monkeypatch.chdir(ROOT)
    values = flags.FlagValues()
    command.define_config_flags(values)
    values(["train", f"--flagfile={path.relative_to(ROOT)}", *arguments])
    return command.config_from_flags(values)


def names(path: pathlib.Path) -> str:
    return str(path.relative_to(CONFIGS))


def test_there_are_shipped_flagfiles():
    folders = {path.parent.name for path in SHIPPED}
    assert folders == {"configs", "paper", "experiments"}


@pytest.mark.parametrize("path", SHIPPED, ids=names)
def test_every_shipped_flagfile_parses(monkeypatch, path):
    found = parse(monkeypatch, path, "--data_dir=somewhere")
    assert pathlib.Path(found.workdir).name == path.stem
    assert path.suffix == ".flags"


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
def stand_in(monkeypatch):
    """A small fixed network for Inception-v3, which takes a minute a file.

    The true one trains in test_train.py.
    """

    def trunk(size, layer, weights, dtype, pictures, count_padding):
        del layer, weights, pictures, count_padding
        network = small_trunk(size, dtype)
        network.trainable = False
        return network

    monkeypatch.setattr(build, "inception_trunk", trunk)


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=names)
def test_two_steps_of_both_stages(
    monkeypatch, stand_in, tiny_config, tmp_path, path
):
    given = parse(monkeypatch, path)
    tiny = tiny_config(workdir=str(tmp_path))
    fields = {name: getattr(tiny, name) for name in PLACES} | SMALL
    inception = given.image_encoder == "inception_v3"
    fields["image_encoder_size"] = 75 if inception else 32
    config = dataclasses.replace(given, **fields)
    train(config)
    assert (tmp_path / "DONE").is_file()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    for stage in ("damsm", "gan"):
        rows = [r for r in found if r["stage"] == stage and r["step"] <= 2]
        rows = [r for r in rows if "images_per_second" in r]
        assert [row["step"] for row in rows] == [1, 2]
    assert ("damsm/total" in rows[0]) == bool(given.damsm_lambda)
    model = attngan_tf.load(str(tmp_path))
    assert model.step == 2
    side = 8 * 2 ** (given.num_stages - 1)
    assert model.generate(["a red bird"]).shape == (1, side, side, 3)
