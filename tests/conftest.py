"""Fixtures shared by all tests."""

import collections
import json
import os
import pathlib
import signal
import subprocess
import warnings

import pytest

import attngan_tf
from tests import processes

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A process that a shell runs in the background ignores Ctrl-C, and so would the
# processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Everything as in a real run, but small enough for seconds.
TINY = {
    "dataset": "folder",
    "image_encoder": "small_cnn",
    "image_encoder_size": 32,
    "base_size": 8,
    "num_stages": 2,
    "gf": 4,
    "df": 4,
    "feature_size": 16,
    "embedding_size": 8,
    "z_size": 8,
    "condition_size": 6,
    "residual_blocks": 1,
    "damsm_batch_size": 8,
    "batch_size": 4,
    "damsm_steps": 4,
    "gan_steps": 4,
    "log_interval": 1,
    "sample_interval": 2,
    "checkpoint_interval": 2,
    "evaluation_interval": 4,
    "evaluation_images": 100,
}


def pytest_collection_modifyitems(items):
    """Files with slow tests come first.

    Workers that share the files (`-n 2 --dist loadfile`) then end at about
    the same time.
    """
    slow = collections.Counter(
        item.path for item in items if item.get_closest_marker("slow")
    )
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def _no_process_remains():
    """Ends the processes that a test has started."""
    yield
    processes.end_all()


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real images, captions and Inception weights."""
    named = os.environ.get("ATTNGAN_SHARED")
    folder = pathlib.Path(named) if named else ROOT.parent / "shared"
    if not (folder / "data" / "cub227").is_dir():
        pytest.skip(
            "real data not found: set ATTNGAN_SHARED to a folder that holds "
            "data/cub227 and data/inception"
        )
    return folder / "data"


@pytest.fixture(scope="session")
def birds_folder(tmp_path_factory) -> pathlib.Path:
    """Images of the demo in the folder layout: 24 to train, 110 to test."""
    from attngan_tf.data.demo import builder

    folder = tmp_path_factory.mktemp("birds")
    for split, count in (("train", 24), ("test", 110)):
        names = []
        for example in builder.examples(0, split, count):
            name = f"{example.class_id:07d}/{example.name}"
            for kind, ending in (("images", "png"), ("text", "txt")):
                path = folder / kind / f"{name}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                if kind == "images":
                    path.write_bytes(example.image)
                else:
                    path.write_text("\n".join(example.captions) + "\n")
            names.append(name)
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny_config(birds_folder, tmp_path_factory):
    """Makes a configuration of a tiny run; arguments override its fields."""
    from attngan_tf.config import Config

    prepared = tmp_path_factory.mktemp("prepared")

    def make(**fields):
        folders = {"data_dir": str(birds_folder), "prepared_dir": str(prepared)}
        return Config(**{**TINY, **folders, **fields})

    return make


@pytest.fixture(scope="session")
def tiny_data(tiny_config):
    """The prepared data of tiny runs, opened."""
    from attngan_tf.data import catalog, prepared_data

    builder = catalog.open_configured(tiny_config())
    catalog.prepare(builder)
    return prepared_data.read_data(builder)


@pytest.fixture(scope="session")
def tiny_workdir(tiny_config, tmp_path_factory) -> pathlib.Path:
    """The folder of a completed tiny run; tests must not change it."""
    from attngan_tf.train import train

    folder = tmp_path_factory.mktemp("tiny")
    train(tiny_config(workdir=str(folder)))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_workdir):
    """The model of the tiny run, loaded once; tests must not change it."""
    return attngan_tf.load(str(tiny_workdir))


@pytest.fixture
def run_folder(tmp_path):
    """Makes the folder of a run: its configuration, and lines of reports.

    A line is a dict, or a string for a broken line.
    """
    from attngan_tf.config import METRICS_FILE, Config

    def make(name, lines=(), **fields):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        Config(**fields).save(str(folder), {"keras": "3"})
        texts = [x if isinstance(x, str) else json.dumps(x) for x in lines]
        (folder / METRICS_FILE).write_text("\n".join([*texts, ""]))
        return str(folder)

    return make


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of so many kilobytes; skips if that is not permitted."""
    mounted = []

    def make(kilobytes: int) -> pathlib.Path:
        folder = tmp_path / f"disk_{len(mounted)}"
        folder.mkdir()
        size = f"size={kilobytes}k"
        command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs to mount a small disk: {error}")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def fill():
    """Fills a disk; returns the file to remove to make room again."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        rest = folder / "rest"
        with open(rest, "wb", buffering=0) as file:
            while os.statvfs(folder).f_bavail:
                file.write(bytes(4096))
        return rest

    return make


@pytest.fixture(scope="module")
def one_torch_thread():
    """Leaves the other cores to TensorFlow's threads.

    PyTorch's wait for one another in busy loops: with as many as there are
    cores, beside TensorFlow's, a step that takes 0.6 s takes up to 15 s.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def save():
    """Writes a Keras model or its weights, by the method's name."""

    def write(model, path, method="save"):
        with warnings.catch_warnings():
            # Keras 3.15 reads variables by an __array__ that NumPy 2
            # deprecates.
            warnings.filterwarnings("ignore", "__array__ implementation")
            getattr(model, method)(str(path))

    return write
