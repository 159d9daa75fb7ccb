"""The command `prepare`, run as a user runs it."""

import os
import pathlib
import subprocess
import sys

import absl.flags
import pytest

from attngan_tf import prepare
from attngan_tf.cli import command
from attngan_tf.errors import UserError
from tests.data import helpers


@pytest.fixture
def data(tmp_path):
    """Two images in the `folder` layout."""
    folder = helpers.RawFolder(tmp_path / "raw")
    for split in ("train", "test"):
        folder.add(f"{split}1", split)
        folder.write(f"text/{split}1.txt", "a red thing\nred\n")
    return folder


def arguments(data, *flags):
    prepared = data.root.parent / "prepared"
    common = ["--dataset=folder", f"--data_dir={data.root}"]
    return [*common, f"--prepared_dir={prepared}", *flags]


def run(data, *flags):
    """Runs the command in this process."""
    values = absl.flags.FlagValues()
    prepare.define_flags(values)
    _, *rest = values(["prepare", *arguments(data, *flags)])
    prepare.main(values, rest)


def test_faults_are_listed_and_end_in_one_line(data):
    data.write("images/train1.jpg", b"")
    data.write("text/test1.txt", "one\n")
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "attngan_tf.prepare"),
            *arguments(data, "--captions_per_image=2"),
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    lines = result.stderr.replace("\r", "\n").splitlines()
    *faults, last = [x for x in lines if x and not x.startswith("Checking ")]
    assert faults == [
        "fault: text/test1.txt: must hold 2 captions "
        "(--captions_per_image); found 1",
        "fault: images/train1.jpg: empty file (zero bytes)",
    ]
    assert last.startswith(f"error: the raw data in {data.root} must have ")
    assert "found 2, the first: text/test1.txt: must hold 2" in last


def test_the_report_is_printed_and_damage_repaired(data, capsys):
    run(data)
    first, *report = capsys.readouterr().out.splitlines()
    folder = pathlib.Path(first.removeprefix("prepared: "))
    assert report == [
        "train: 1 images, 2 captions",
        "test: 1 images, 2 captions",
        "vocabulary: 4 words, including <end>",
    ]
    words = folder / "vocab.txt"
    whole = words.read_bytes()
    words.write_bytes(b"")
    run(data)
    printed = capsys.readouterr()
    assert f"damaged: {words}: not as it was written" in printed.err
    assert printed.out.splitlines() == [first, *report]
    assert words.read_bytes() == whole


def test_unprintable_characters_are_escaped(capsys):
    odd = "r\x1b[31m\u202ew\n"
    with pytest.raises(SystemExit):
        command._fail(UserError(f"nothing at {odd}"))
    assert capsys.readouterr().err == ("error: nothing at r\\x1b[31m\\u202ew\n")


def test_arguments_are_a_user_error(data):
    with pytest.raises(UserError, match="prepare takes flags only; received m"):
        run(data, "more")
