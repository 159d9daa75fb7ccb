"""Nowhere to write prepared data to: one line, and what was there stays."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from attngan_tf.data import catalog, checksums
from attngan_tf.data.views import Records
from attngan_tf.errors import UserError

OTHER_USER = 65534  # nobody


def mount(*options: str) -> None:
    found = subprocess.run(["mount", *options], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"mounting is not permitted here: {found.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """A small disk; its size may be changed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=64k", "none", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def resize(disk, size: str) -> None:
    mount("-o", f"remount,size={size}", str(disk))


def open_builder(raw_folder, prepared):
    return catalog.open_builder("folder", str(raw_folder.root), str(prepared))


def files(folder) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    }


def mistake(raw_folder, prepared) -> str:
    try:
        catalog.prepare(open_builder(raw_folder, prepared))
    except UserError as error:
        return str(error)
    return ""


def test_a_full_disk_leaves_nothing_half_done(raw_folder, disk):
    """It is full in another file each time: shards, words, descriptions."""
    sizes = range(64, 600, 12)
    for size in sizes:
        resize(disk, f"{size}k")
        told = mistake(raw_folder, disk)
        if not told:
            break
        assert told == (
            "--prepared_dir must be a folder with room to write to; "
            f"received {disk}: No space left on device"
        )
        assert files(disk) == {}
    builder = open_builder(raw_folder, disk)
    assert checksums.damage(builder.data_dir) == []
    assert size > sizes[4]  # some failed in each way
    assert len(Records(builder, "train")) == 4


def test_a_repair_without_room_keeps_what_is_there(raw_folder, disk, capsys):
    resize(disk, "16m")
    catalog.prepare(open_builder(raw_folder, disk))
    folder = pathlib.Path(open_builder(raw_folder, disk).data_dir)
    (folder / "vocab.txt").write_bytes(b"")
    before = files(disk)
    used = sum(os.stat(path).st_blocks for path in before) // 2
    resize(disk, f"{used + 40}k")
    with pytest.raises(UserError, match=r"No space left on device$"):
        catalog.prepare(open_builder(raw_folder, disk), repair=True)
    assert f"the damaged data stays: {folder}" in capsys.readouterr().err
    assert files(disk) == before
    resize(disk, "16m")
    catalog.prepare(open_builder(raw_folder, disk), repair=True)
    assert checksums.damage(str(folder)) == []


def test_a_read_only_disk(raw_folder, disk):
    resize(disk, "16m")
    catalog.prepare(open_builder(raw_folder, disk))
    before = files(disk)
    mount("-o", "remount,ro", str(disk))
    # What is there can be used.
    assert catalog.prepare(open_builder(raw_folder, disk)).words > 0
    raw_folder.add("new", "train")
    with pytest.raises(UserError, match=f"{disk}: Read-only file system$"):
        catalog.prepare(open_builder(raw_folder, disk))
    assert files(disk) == before


@contextlib.contextmanager
def no_rights():
    """As a user who owns nothing; root is not bound by permissions."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)


@pytest.fixture
def open_folder():
    """A folder whose parents others may look into."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def test_folders_without_permission(raw_folder, open_folder):
    raw_folder.root = raw_folder.root.rename(open_folder / "raw")
    for prepared, mode in (("closed", 0o500), ("dark", 0)):
        folder = open_folder / prepared
        (folder / "attngan_folder").mkdir(parents=True)
        for path in (folder / "attngan_folder", folder):
            os.chmod(path, mode)
        with (
            no_rights(),
            pytest.raises(UserError, match=f"{folder}: Permission denied$"),
        ):
            catalog.prepare(open_builder(raw_folder, folder))
        os.chmod(folder, 0o700)
    os.chmod(raw_folder.root / "images/c.Owl/o1.jpg", 0)
    os.chmod(raw_folder.root / "text", 0)
    with (
        no_rights(),
        pytest.raises(UserError, match=r"/text is not: Permission denied$"),
    ):
        open_builder(raw_folder, open_folder / "prepared")
    os.chmod(raw_folder.root / "text", 0o755)


def test_records_without_permission(raw_folder, open_folder):
    raw_folder.root = raw_folder.root.rename(open_folder / "raw")
    prepared = open_folder / "prepared"
    builder = open_builder(raw_folder, prepared)
    catalog.prepare(builder)
    for name in ("dataset_info.json", "vocab.txt"):
        os.chmod(os.path.join(builder.data_dir, name), 0)
        with (
            no_rights(),
            pytest.raises(UserError, match=f"{name}: Permission denied"),
        ):
            catalog.prepare(open_builder(raw_folder, prepared))
        os.chmod(os.path.join(builder.data_dir, name), 0o644)


def test_the_command_on_a_full_disk(raw_folder, disk, tmp_path):
    """With $TMPDIR on it, too: one line, and a run with room goes on."""
    (disk / "fill").write_bytes(bytes(60 * 1024))
    command = [sys.executable, "-m", "attngan_tf.prepare", "--dataset=folder"]
    command.append(f"--data_dir={raw_folder.root}")
    environment = {**os.environ, "TMPDIR": str(disk)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL")
    for prepared, code in ((disk, 1), (tmp_path / "prepared", 0)):
        found = subprocess.run(
            [*command, f"--prepared_dir={prepared}"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert found.returncode == code, found.stderr
        lines = found.stderr.replace("\r", "\n").splitlines()
        bars = ("Checking ", "Writing ")
        others = [x for x in lines if x and not x.startswith(bars)]
        assert len(others) == code, others
        if code:
            assert others[0].endswith(
                f"received {disk}: No space left on device"
            )
    assert list(files(disk)) == [str(disk / "fill")]
