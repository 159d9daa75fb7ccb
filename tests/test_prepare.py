"""The command `prepare`, run as a user runs it."""

import os
import pathlib
import subprocess
import sys

import absl.flags
import pytest
from PIL import Image

from attngan_tf import config, prepare
from attngan_tf.cli import command
from attngan_tf.data import catalog


@pytest.fixture
def data(tmp_path):
    """Two pictures in the `folder` layout."""
    root = tmp_path / "raw"
    for split in ("train", "test"):
        for part in ("images", "text"):
            (root / part).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8), "red").save(root / f"images/{split}1.jpg")
        (root / f"text/{split}1.txt").write_text("a red thing\nred\n")
        (root / f"{split}.txt").write_text(f"{split}1\n")
    return root


def run_prepare(data, *flags):
    command = [sys.executable, "-m", "attngan_tf.prepare", *flags]
    command += ["--dataset=folder", f"--data_dir={data}"]
    prepared = data.parent / "prepared"
    result = subprocess.run(
        [*command, f"--prepared_dir={prepared}"],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert "Traceback" not in result.stderr
    return result


def test_report_is_printed(data):
    result = run_prepare(data)
    assert result.returncode == 0, result.stderr
    place, *report = result.stdout.splitlines()
    folder = place.removeprefix("prepared: ")
    assert "vocab.txt" in os.listdir(folder)
    assert report == [
        "train: 1 pictures, 2 captions",
        "test: 1 pictures, 2 captions",
        "vocabulary: 4 words, <end> included",
    ]


def test_faults_end_in_one_line(data):
    (data / "images/train1.jpg").write_bytes(b"")
    (data / "text/test1.txt").write_text("one\n")
    result = run_prepare(data, "--captions_per_image=2")
    assert result.returncode == 1
    assert result.stdout == ""
    *lines, last = result.stderr.splitlines()
    assert [line for line in lines if line.startswith("fault: ")] == [
        "fault: text/test1.txt: must hold 2 captions "
        "(--captions_per_image); found 1",
        "fault: images/train1.jpg: empty file (zero bytes)",
    ]
    assert last.startswith(
        f"error: the raw data in {data} must be whole; found"
    )
    assert "2 faults" in last


def test_damage_is_repaired_and_told(data):
    prepared = str(data.parent / "prepared")
    builder = catalog.open_builder("folder", str(data), prepared)
    catalog.prepare(builder)
    words = pathlib.Path(builder.data_dir, "vocab.txt")
    whole = words.read_bytes()
    words.write_bytes(b"")
    result = run_prepare(data)
    assert result.returncode == 0
    assert f"damaged: {words}: not as it was written" in result.stderr
    assert result.stdout.splitlines()[0] == f"prepared: {builder.data_dir}"
    assert words.read_bytes() == whole


def test_what_cannot_be_printed_is_escaped(capsys):
    odd = "r\x1b[31m\u202ew\n"
    with pytest.raises(SystemExit):
        command._fail(config.UserError(f"nothing at {odd}"))
    assert capsys.readouterr().err == ("error: nothing at r\\x1b[31m\\u202ew\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--captions_per_image=-1"], "--captions_per_image must be at least"),
        (["--data_dir="], "--data_dir must name the raw data"),
        (["--data_dir=/no/such"], "there is nothing at '/no/such'"),
        (["more"], "prepare takes flags only; received more"),
    ],
)
def test_mistakes_are_named(data, flags, message):
    values = absl.flags.FlagValues()
    prepare.define_flags(values)
    common = ["prepare", "--dataset=folder", f"--data_dir={data}"]
    _, *arguments = values([*common, *flags])
    with pytest.raises(config.UserError, match=message):
        prepare.main(values, arguments)
