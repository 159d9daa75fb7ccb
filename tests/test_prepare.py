"""The command `prepare`."""

import pathlib

import absl.flags
import pytest

from attngan_tf import prepare
from attngan_tf.cli import command
from attngan_tf.errors import UserError
from tests.data import helpers


@pytest.fixture
def run(tmp_path):
    """Runs the command for two images in the `folder` layout."""
    folder = helpers.RawFolder(tmp_path / "raw")
    for split in ("train", "test"):
        folder.add(f"{split}1", split)
        folder.write(f"text/{split}1.txt", "a red thing\nred\n")

    def run(*arguments):
        values = absl.flags.FlagValues()
        prepare.define_flags(values)
        data = ["--dataset=folder", f"--data_dir={folder.root}"]
        prepared = f"--prepared_dir={tmp_path}/prepared"
        _, *rest = values(["prepare", *data, prepared, *arguments])
        prepare.main(values, rest)

    return run


def test_the_report_is_printed_and_damage_repaired(run, capsys):
    run()
    layout, first, *report = capsys.readouterr().out.splitlines()
    assert layout == (
        "layout: captions in text/; split by train.txt and test.txt"
    )
    folder = pathlib.Path(first.removeprefix("prepared: "))
    assert report == [
        "train: 1 images, 2 captions",
        "test: 1 images, 2 captions",
        "vocabulary: 4 words, including <end>",
    ]
    words = folder / "vocab.txt"
    whole = words.read_bytes()
    words.write_bytes(b"")
    run()
    assert capsys.readouterr().out.splitlines() == [layout, first, *report]
    assert words.read_bytes() == whole


def test_captions_with_words_that_a_model_ignores_are_counted(run, capsys):
    run("--words_num_test=3")
    assert "ignores" not in capsys.readouterr().out
    run("--words_num_test=2")
    *_, line = capsys.readouterr().out.splitlines()
    assert line == (
        "captions of more than 2 words (--words_num_test), whose further words "
        "a trained model ignores: 2 ('a red thing')"
    )


def test_arguments_are_a_user_error(run):
    with pytest.raises(UserError, match="prepare takes flags only; received m"):
        run("more")


def test_unprintable_characters_are_escaped(capsys):
    odd = "r\x1b[31m\u202ew\n"
    with pytest.raises(SystemExit) as raised:
        command._fail(UserError(f"nothing at {odd}"))
    assert raised.value.code == 1
    assert capsys.readouterr().err == "error: nothing at r\\x1b[31m\\u202ew\n"
