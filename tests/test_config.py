"""Settings: their rules, their errors, and config.json."""

import dataclasses
import json
import os
import sys

import pytest
from absl import flags

from attngan_tf.cli import command
from attngan_tf.config import Config
from attngan_tf.errors import UserError

FIELDS = [field.name for field in dataclasses.fields(Config)]


def parse(*arguments: str) -> Config:
    values = flags.FlagValues()
    command.define_config_flags(values)
    values(["train", *arguments])
    return command.config_from_flags(values)


def demo(**fields) -> Config:
    return Config(**{"dataset": "demo"} | fields)


# Fields, and parts of the error line: the flag, the rule, the value.
WRONG = [
    ({"num_stages": 0}, "--num_stages", "at least 1", "received 0"),
    ({"num_stages": "3"}, "--num_stages", "type int", "received '3'"),
    ({"num_stages": True}, "--num_stages", "type int", "received True"),
    ({"jit_compile": 1}, "--jit_compile", "type bool", "received 1"),
    ({"damsm_gamma1": "5"}, "--damsm_gamma1", "type float", "received '5'"),
    ({"damsm_gamma1": float("nan")}, "--damsm_gamma1", "received nan"),
    ({"base_size": 30}, "--base_size", "power of two", "received 30"),
    ({"feature_size": 7}, "--feature_size", "even", "received 7"),
    ({"batch_size": 1}, "--batch_size", "at least 2", "received 1"),
    (
        {"image_region_layer": "mixed9"},
        *("--image_region_layer", "mixed6, mixed7", "received 'mixed9'"),
    ),
    ({"image_encoder_size": 74}, "--image_encoder_size", "at least 75"),
    (
        {"image_encoder": "small_cnn", "damsm_cached_views": 2},
        *("--damsm_cached_views", "small_cnn", "received 2"),
    ),
    (
        {"text_training": "joint_embedding"},
        *("--damsm_lambda", "must be 0", "joint_embedding", "received 5.0"),
    ),
    (
        {"discriminator_stages": "last", "damsm_stages": "all"},
        *("--damsm_stages", "must be last", "received 'all'"),
    ),
    (
        {
            "discriminator": "projected",
            "finetune_damsm": True,
            "image_encoder": "small_cnn",
        },
        *("--finetune_damsm", "must be off", "small_cnn"),
    ),
    ({"damsm_steps": -1}, "--damsm_steps", "at least 0", "received -1"),
    ({"seed": 2**31}, "--seed", "at most 2147483647", "received 2147483648"),
]


@pytest.mark.parametrize(("fields", "parts"), [(w[0], w[1:]) for w in WRONG])
def test_a_wrong_value_is_an_error_of_one_line(fields, parts):
    with pytest.raises(UserError) as error:
        demo(**fields)
    message = str(error.value)
    assert message.startswith(parts[0])
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    "fields",
    [
        {"damsm_steps": None, "gan_steps": 0},
        {"batch_size": 2},
        {"damsm_lambda": 5},
        {"text_training": "joint_embedding", "damsm_lambda": 0.0},
        {"image_encoder": "small_cnn", "image_encoder_size": 16},
        {"image_encoder_size": 75},
        {"dataset": "coco", "data_dir": "somewhere"},
        {"base_size": 8, "num_stages": 1},
        {"discriminator": "projected", "finetune_damsm": True},
    ],
)
def test_values_at_the_limits_are_accepted(fields):
    found = dataclasses.asdict(demo(**fields))
    assert found == dataclasses.asdict(demo()) | fields


def test_sizes_double_from_stage_to_stage():
    assert demo().image_sizes == (64, 128, 256)
    assert demo(base_size=16, num_stages=4).image_sizes == (16, 32, 64, 128)
    assert demo(num_stages=1).image_sizes == (64,)


PAPER = """
--dataset=cub --damsm_epochs=200 --gan_epochs=600 --words_num=18 --gf=32 --df=64
--words_num_test=25 --z_size=100 --condition_size=100 --feature_size=256
--embedding_size=300 --residual_blocks=2 --batch_size=20 --damsm_batch_size=50
--damsm_gamma1=5 --damsm_gamma2=5 --damsm_gamma3=10 --damsm_lambda=5
--damsm_learning_rate=2e-3 --gan_learning_rate=2e-4 --text_encoder_clip=0.25
--discriminator_learning_rate=2e-4 --image_encoder_size=299 --word_score=paper
--image_region_layer=mixed6 --gan_loss_scale=paper --text_training=damsm
--damsm_stages=last --nofinetune_damsm --discriminator=paper
--discriminator_stages=all --damsm_ramp_steps=0 --nogan_mismatched_pairs
--nodamsm_same_class_mask
"""


def test_the_defaults_are_the_papers_for_cub():
    assert parse(*PAPER.split()) == Config()


def test_every_field_is_a_flag_with_help_and_the_same_default():
    values = flags.FlagValues()
    command.define_config_flags(values)
    for field in dataclasses.fields(Config):
        flag = values[field.name]
        assert len(flag.help) > 15, field.name
        assert flag.help.endswith(field.metadata["help"])
        assert flag.default == field.default
    assert parse("--dataset=demo") == demo()


def test_later_flags_override_earlier_ones(tmp_path):
    file = tmp_path / "some.flags"
    file.write_text("# a comment\n--dataset=demo\n--gf=5\n--df=6\n")
    assert parse(f"--flagfile={file}", "--gf=7") == demo(gf=7, df=6)
    assert parse("--gf=7", f"--flagfile={file}") == demo(gf=5, df=6)


def test_a_saved_configuration_is_loaded(tmp_path):
    config = demo(gf=5, gan_steps=9, damsm_lambda=0.5, ema_warmup=True)
    config.save(str(tmp_path), {"keras": "3"})
    written = json.loads((tmp_path / "config.json").read_text())
    assert set(written) == {*FIELDS, "versions"}
    assert written["versions"] == {"keras": "3"}
    assert os.listdir(tmp_path) == ["config.json"]
    expected = dataclasses.replace(config, workdir=str(tmp_path))
    assert Config.load(str(tmp_path)) == expected


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "found none"),
        ("{", "JSON object"),
        ("[]", "JSON object"),
        (b"\xff\xfe", "JSON object"),
        ('{"dataset": "demo", "sead": 3}', "sead"),
        ('{"dataset": "demo", "gf": "many"}', "--gf"),
    ],
)
def test_load_refuses_other_files(tmp_path, content, part):
    if content is not None:
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=part) as error:
        Config.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_differences_list_fields_that_must_not_change():
    here = demo(workdir="b", data_dir="c", stage="gan", gan_steps=3, gf=5)
    assert here.differences(demo()) == ["gf: 32 there, 5 here"]
    here = dataclasses.replace(here, seed=4)
    assert here.differences(demo()) == [
        "seed: 0 there, 4 here",
        "gf: 32 there, 5 here",
    ]
    assert demo().differences(demo()) == []


def test_fields_of_the_model_must_not_change():
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for name in (
        *("dataset", "seed", "base_size", "num_stages", "words_num", "gf"),
        *("batch_size", "damsm_batch_size", "damsm_lambda", "precision"),
        *("word_score", "generator", "attention", "image_encoder", "ema_decay"),
        *("text_training", "damsm_stages", "finetune_damsm"),
    ):
        assert not fields[name].metadata["may_change"], name


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("--num_stagess=3", "num_stagess"),
        ("--gf=many", "--gf must be a whole number; received 'many'"),
        ("--gf=1.5", "--gf must be a whole number; received '1.5'"),
        ("--ema_decay=x: y", "--ema_decay must be a number; received 'x: y'"),
        ("--stage=GAN", "<all|damsm|gan>"),
        ("--ema_decay", "ema_decay"),
        (
            "--flagfile=/no/such.flags",
            "--flagfile must be a file that can be read; received "
            "/no/such.flags: No such file or directory",
        ),
        ("--flagfile=/", "received /: Is a directory"),
        ("--nojit_compile=true", "nojit_compile"),
        (f"--flagfile={sys.executable}", "--flagfile must be a text file"),
    ],
)
def test_a_wrong_flag_ends_a_command_with_one_line_and_code_1(
    monkeypatch, capsys, argument, part
):
    values = flags.FlagValues()
    command.define_config_flags(values)
    monkeypatch.setattr(flags, "FLAGS", values)
    with pytest.raises(SystemExit) as ended:
        command._parse(["train", "--dataset=demo", argument])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert part in err
