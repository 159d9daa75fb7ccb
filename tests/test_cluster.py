"""The files of configs/cluster: parsed, and started where possible."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import yaml
from absl import flags

from attngan_tf import prepare
from attngan_tf.cli import command
from attngan_tf.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLUSTER = ROOT / "configs" / "cluster"
WORKER = CLUSTER / "worker.sh"
RETRY = 75


def documents(name: str) -> dict[str, dict]:
    """The objects of a file by their kind."""
    found = list(yaml.safe_load_all((CLUSTER / name).read_text()))
    kinds = {document["kind"]: document for document in found}
    assert len(kinds) == len(found)
    return kinds


def pod_of(job: dict) -> dict:
    return job["spec"]["template"]["spec"]


def container_of(job: dict) -> dict:
    (container,) = pod_of(job)["containers"]
    return container


def environment(container: dict) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


@pytest.fixture
def train() -> dict[str, dict]:
    return documents("train.yaml")


def parsed(monkeypatch, define, arguments: list[str]) -> Config:
    monkeypatch.chdir(ROOT)
    values = flags.FlagValues()
    define(values)
    assert len(values(["command", *arguments])) == 1
    return command.config_from_flags(values)


def worker(tmp_path, index: int, *arguments: str, **more: str):
    """Starts worker.sh as the container of train.yaml does."""
    variables = environment(container_of(documents("train.yaml")["Job"]))
    variables |= {"WORKDIR": str(tmp_path), **more}
    return subprocess.Popen(
        [str(WORKER), *arguments],
        env=os.environ | variables | {"JOB_COMPLETION_INDEX": str(index)},
        stdout=subprocess.PIPE,
        text=True,
    )


def code_of(started) -> int:
    """The exit code of a worker, which must print nothing."""
    assert started.communicate(timeout=60)[0] == ""
    return started.returncode


@pytest.mark.parametrize(("workers", "index"), [(1, 0), (12, 11)])
def test_tensorflow_reads_the_workers_variables(
    tmp_path, monkeypatch, train, workers, index
):
    import tensorflow as tf

    shown = "import os; print(os.environ['TF_CONFIG'])"
    started = worker(
        tmp_path, index, sys.executable, "-c", shown, WORKERS=str(workers)
    )
    monkeypatch.setenv("TF_CONFIG", started.communicate(timeout=60)[0])
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    # A headless service names the pods of an Indexed Job so.
    service = train["Service"]
    assert service["spec"]["clusterIP"] == "None"
    name, (port,) = service["metadata"]["name"], service["spec"]["ports"]
    job = train["Job"]["metadata"]["name"]
    assert resolver.cluster_spec().as_dict() == {
        "worker": [f"{job}-{i}.{name}:{port['port']}" for i in range(workers)]
    }
    assert (resolver.task_type, resolver.task_id) == ("worker", index)


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_succeeds_only_after_the_end_of_the_run(tmp_path, index):
    home = tmp_path if index == 0 else tmp_path / f"worker_{index}"
    assert code_of(worker(tmp_path, index, "true")) == RETRY
    home.mkdir(exist_ok=True)
    assert code_of(worker(tmp_path, index, "touch", f"{home}/DONE")) == 0
    assert code_of(worker(tmp_path, index, "sh", "-c", "exit 3")) == 3


SAVES = """
import signal, sys, time
def save(*_):
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_signal_is_passed_to_the_command(tmp_path):
    started = worker(tmp_path, 1, sys.executable, "-c", SAVES)
    assert started.stdout.readline() == "ready\n"
    began = time.monotonic()
    started.send_signal(signal.SIGTERM)
    assert started.communicate(timeout=30)[0] == "saved\n"
    assert time.monotonic() - began < 20
    assert started.returncode == RETRY


def test_the_job_trains_with_flags_that_exist(monkeypatch, train):
    container = container_of(train["Job"])
    script, python, option, module, *arguments = container["command"]
    assert ROOT / script == WORKER
    assert os.access(WORKER, os.X_OK)
    assert (python, option, module) == ("python", "-m", "attngan_tf.train")
    config = parsed(monkeypatch, command.define_config_flags, arguments)
    assert config.distribution == "multi_worker"
    assert config.workdir == environment(container)["WORKDIR"]
    # Only the last stage writes DONE.
    assert config.stage != "damsm"
    gpus = container["resources"]["limits"]["nvidia.com/gpu"]
    replicas = train["Job"]["spec"]["completions"] * gpus
    assert config.batch_size % replicas == 0
    assert config.damsm_batch_size % replicas == 0


def commands_of_docs() -> list[list[str]]:
    """The commands of docs/scaling.md, split as by a shell."""
    text = (ROOT / "docs" / "scaling.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [shlex.split(x) for x in "".join(blocks).splitlines()]


def test_the_docs_commands_have_flags_that_exist(monkeypatch):
    seen = []
    for words in commands_of_docs():
        if "python" not in words:
            continue
        module, *arguments = words[words.index("python") + 2 :]
        seen.append(module)
        program = module.rpartition(".")[2]
        define = command.define_config_flags
        if program == "prepare":
            define = prepare.define_flags
        config = parsed(monkeypatch, define, arguments)
        assert config.workdir
    assert seen == [*["attngan_tf.train"] * 3, "attngan_tf.prepare"]
