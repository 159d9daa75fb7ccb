"""PyTorch files: read in all their forms, refused where they are none."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from peers import bad_files, networks, sizes
from peers import files as peer_files

from attngan_tf.errors import UserError
from attngan_tf.pretrained import files


@pytest.fixture(scope="module")
def weights():
    network = networks.generator(sizes.TINY)
    networks.randomize(network, seed=1)
    return network


@pytest.mark.parametrize("format", peer_files.FORMATS)
@pytest.mark.parametrize(
    ("prefix", "wrapper", "counters"),
    [
        ("", None, False),
        ("module.", None, True),
        ("", "netG", False),
        ("module.", "netG_state_dict", True),
    ],
)
def test_every_form_of_a_file_is_read(
    tmp_path, weights, format, prefix, wrapper, counters
):
    path = tmp_path / "netG.pth"
    state = peer_files.state(weights, num_batches_tracked=counters)
    peer_files.save(state, path, format=format, prefix=prefix, wrapper=wrapper)
    found = files.read_state(str(path), "generator")
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value.numpy())


@pytest.mark.parametrize("form", bad_files.MALICIOUS_FORMS)
def test_a_file_that_would_run_code_is_refused(tmp_path, form):
    path, marker = tmp_path / "x.pth", tmp_path / "marker"
    bad_files.write_malicious(path, marker, form)
    with pytest.raises(UserError, match="--generator") as raised:
        files.read_state(str(path), "generator")
    assert "\n" not in str(raised.value)
    assert not marker.exists()
    if form != "pickle":
        assert "refused: it asks to run" in str(raised.value)


def _cut(path):
    torch.save({"a": torch.ones(100, 100)}, path)
    path.write_bytes(path.read_bytes()[:-500])


def _infinite(path):
    torch.save({"fine": torch.ones(2), "wide": torch.tensor([np.inf])}, path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (bad_files.write_lfs_pointer, "git lfs pull"),
        (bad_files.write_html_page, "web page"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\x00\x01noise" * 99), "cannot be"),
        (_cut, "cannot be read"),
        (_infinite, "finite numbers; wide"),
        (lambda path: torch.save([1, 2], path), "holds a list"),
        (lambda path: torch.save({"epoch": 3}, path), "dict (epoch)"),
        (lambda path: torch.save({}, path), "dict of tensors"),
        (lambda path: torch.save({0: torch.ones(1)}, path), "dict (0)"),
        (
            lambda path: torch.save({"a": torch.eye(2).to_sparse()}, path),
            "plain tensors",
        ),
        (
            lambda path: torch.save({"a": torch.ones(1) * 1j}, path),
            "plain tensors",
        ),
        (lambda path: path.mkdir(), "must be a file to read"),
        (lambda path: None, "must be a file to read"),
    ],
    ids=range(14),
)
def test_what_is_no_such_file_is_told_in_a_line(tmp_path, write, said):
    path = tmp_path / "netG.pth"
    write(path)
    with pytest.raises(UserError) as raised:
        files.read_state(str(path), "generator")
    assert said in str(raised.value)
    assert "--generator" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_pytorch_it_says_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from attngan_tf.config import UserError\n"
        "from attngan_tf.pretrained import files\n"
        "try: files.read_state('x', 'generator')\n"
        "except UserError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.count("\n") == 1
    assert "pip install 'attngan_tf[convert]'" in said


def test_the_blob_id_is_gits(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    assert files.blob_id(str(path)) == (
        "ce013625030ba8dba906f756967f9e9ca394464a"
    )


def test_what_is_written_is_read_again(tmp_path):
    rng = np.random.default_rng(0)
    state = {"a": rng.standard_normal([3, 4], np.float32).T}
    path = tmp_path / "x.pth"
    files.write_state(state, str(path))
    assert path.read_bytes()[:2] != b"PK"  # the legacy format
    found = files.read_state(str(path), "generator")
    np.testing.assert_array_equal(found["a"], state["a"])
    with pytest.raises(UserError, match="--to_pytorch"):
        files.write_state(state, str(tmp_path / "nowhere" / "x.pth"))
