"""PyTorch files: all formats are read, and other files are refused."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch

import attngan_tf
from attngan_tf import errors
from attngan_tf.errors import UserError
from attngan_tf.pretrained import files
from tests.reference import files as published
from tests.reference import networks


@pytest.fixture(scope="module")
def generator():
    network = networks.Generator(networks.TINY)
    networks.randomize(network, seed=1)
    return network


@pytest.mark.parametrize("format", published.FORMATS)
@pytest.mark.parametrize(
    ("prefix", "wrapper", "counters"),
    [
        ("", None, False),
        ("module.", None, True),
        ("", "netG", False),
        ("module.", "netG_state_dict", True),
    ],
)
def test_every_format_is_read(
    tmp_path, generator, format, prefix, wrapper, counters
):
    path = tmp_path / "netG.pth"
    # PyTorch of Python 2 had no num_batches_tracked.
    state = published.state(generator, counters and format != "python2")
    published.save(state, path, format, prefix, wrapper)
    found = files.read_state(str(path), "generator")
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value.numpy())


def test_published_format_has_byte_strings_and_gpu_tensors(tmp_path, generator):
    """What makes the files of Python 2 special is in those of the tests."""
    path = tmp_path / "netG.pth"
    published.save(published.state(generator), path)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(path, weights_only=True)
    assert b"U\x06cuda:0" in path.read_bytes()
    assert b"U\x10ca_net.fc.weight" in path.read_bytes()


@pytest.mark.parametrize("form", published.MALICIOUS_FORMS)
def test_files_that_would_run_code_are_refused(tmp_path, form):
    path, marker = tmp_path / "x.pth", tmp_path / "marker"
    published.write_malicious(path, marker, form)
    with pytest.raises(UserError, match="--generator") as raised:
        files.read_state(str(path), "generator")
    assert "\n" not in str(raised.value)
    assert not marker.exists()
    if form != "pickle":
        assert "refused: it asks to run" in str(raised.value)
        torch.load(path, weights_only=False)
        assert marker.exists()  # the attack works


def _truncated(path):
    torch.save({"a": torch.ones(100, 100)}, path)
    path.write_bytes(path.read_bytes()[:-500])


def _infinite(path):
    torch.save({"fine": torch.ones(2), "wide": torch.tensor([np.inf])}, path)


def _saved(content):
    return lambda path: torch.save(content, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (published.write_lfs_pointer, "git lfs pull"),
        (published.write_html_page, "web page"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\x00\x01noise" * 99), "refused"),
        (_truncated, "refused"),
        (_infinite, "finite numbers; wide"),
        (_saved([1, 2]), "holds a list"),
        (_saved({"epoch": 3}), "dict (epoch)"),
        (_saved({}), "dict of tensors"),
        (_saved({0: torch.ones(1)}), "dict (0)"),
        (lambda path: path.mkdir(), "must be a file to read"),
        (lambda path: None, "must be a file to read"),
    ],
    ids=range(12),
)
def test_other_files_give_an_error_of_one_line(tmp_path, write, message):
    path = tmp_path / "netG.pth"
    write(path)
    with pytest.raises(UserError) as raised:
        files.read_state(str(path), "generator")
    assert message in str(raised.value)
    assert "--generator" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_pytorch_gives_the_command_to_install_it(tmp_path):
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from attngan_tf.errors import UserError\n"
        "from attngan_tf.pretrained import files\n"
        "try: files.read_state('x', 'generator')\n"
        "except UserError as error: print(error)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.count("\n") == 1
    clone = pathlib.Path(attngan_tf.__file__).parents[1]
    assert printed.endswith(f"run pip install -e '{clone}[convert]'\n")


def test_installed_package_is_named_by_the_command(tmp_path, monkeypatch):
    path = tmp_path / "site-packages" / "attngan_tf" / "errors.py"
    monkeypatch.setattr(errors, "__file__", str(path))
    command = "pip install 'attngan_tf[convert]'"
    assert errors.install_command("convert") == command


def test_blob_id_is_that_of_git(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    assert files.blob_id(str(path)) == (
        "ce013625030ba8dba906f756967f9e9ca394464a"
    )


def test_files_that_are_written_are_read_again(tmp_path):
    rng = np.random.default_rng(0)
    state = {"a": rng.standard_normal([3, 4], np.float32).T}
    path = tmp_path / "x.pth"
    files.write_state(state, str(path))
    assert path.read_bytes()[:2] != b"PK"  # the legacy format
    found = files.read_state(str(path), "generator")
    np.testing.assert_array_equal(found["a"], state["a"])
