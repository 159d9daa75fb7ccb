"""Where prepared data is written: full disks, permissions, other processes."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from attngan_tf.data import catalog, checksums
from attngan_tf.data.views import Records
from attngan_tf.errors import UserError
from tests.data.helpers import files_below

OTHER_USER = 65534  # nobody


def mount(*options: str) -> None:
    found = subprocess.run(["mount", *options], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"mounting is not permitted here: {found.stderr.strip()}")


@pytest.fixture
def disk(prepare):
    """A small disk to prepare on; its size may be changed."""
    prepare.prepared.mkdir()
    mount("-t", "tmpfs", "-o", "size=64k", "none", str(prepare.prepared))
    yield prepare.prepared
    subprocess.run(["umount", str(prepare.prepared)], check=True)


def resize(disk, size: str) -> None:
    mount("-o", f"remount,size={size}", str(disk))


def contents(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in files_below(folder)}


def test_a_full_disk_leaves_nothing_incomplete(open_builder, disk):
    """It is full in another file each time: shards, words, descriptions."""
    sizes = range(64, 600, 12)
    for size in sizes:
        resize(disk, f"{size}k")
        try:
            catalog.prepare(open_builder())
            break
        except UserError as error:
            message = str(error)
        assert message == (
            "--prepared_dir must be a folder with space to write to; "
            f"received {disk}: No space left on device"
        )
        assert contents(disk) == {}
    assert checksums.damage(open_builder().data_dir) == []
    assert size > sizes[4]  # it was full in several files
    assert len(Records(open_builder(), "train")) == 4


def test_a_read_only_disk(open_builder, raw_folder, disk):
    resize(disk, "16m")
    catalog.prepare(open_builder())
    mount("-o", "remount,ro", str(disk))
    assert catalog.prepare(open_builder()).words > 0  # existing data is used
    raw_folder.add("new", "train")
    with pytest.raises(UserError, match=f"{disk}: Read-only file system$"):
        catalog.prepare(open_builder())


def test_prepared_dir_must_be_a_folder(raw_folder, prepare):
    prepare.prepared = raw_folder.write("file", "")
    with pytest.raises(UserError, match="--prepared_dir must be a folder"):
        prepare(raw_folder.root)


def test_an_unreadable_raw_folder_is_a_user_error(raw_folder, prepare):
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        raw_folder.root = raw_folder.root.rename(pathlib.Path(name) / "raw")
        text = raw_folder.root / "text"
        text.chmod(0)
        if user == 0:  # root is not bound by permissions
            os.seteuid(OTHER_USER)
        try:
            with pytest.raises(UserError, match="/text is not: Permission de"):
                prepare.open(raw_folder.root)
        finally:
            if user == 0:
                os.seteuid(user)
            text.chmod(0o755)


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_may_prepare_at_once(open_builder, monkeypatch, damaged):
    """One begins and ends while another one, or a repair, is half done."""
    folder = pathlib.Path(open_builder().data_dir)
    if damaged:
        catalog.prepare(open_builder())
        (folder / "vocab.txt").write_bytes(b"")
    write, seen = checksums.write, []

    def meanwhile(temporary):
        monkeypatch.undo()
        seen.extend(os.listdir(folder.parent))
        report = catalog.prepare(open_builder(), repair=True)
        assert report.pictures == {"train": 4, "test": 2}
        assert os.path.isdir(temporary)
        write(temporary)

    monkeypatch.setattr(checksums, "write", meanwhile)
    builder = open_builder()
    catalog.prepare(builder, repair=True)
    assert any(name.startswith("incomplete.") for name in seen)
    assert builder.info.splits["train"].num_examples == 4
    assert os.listdir(folder.parent) == [folder.name]
    assert checksums.damage(str(folder)) == []


@pytest.mark.slow
def test_a_terminated_command_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "attngan_tf.prepare", "--dataset=demo"]
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL")
    process = subprocess.Popen(
        [*command, f"--prepared_dir={tmp_path}"],
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/incomplete.*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    printed = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    lines = [x for x in printed.replace("\r", "\n").splitlines() if x.strip()]
    assert [x for x in lines if not x.startswith("Writing ")] == ["interrupted"]
    assert files_below(tmp_path) == []
