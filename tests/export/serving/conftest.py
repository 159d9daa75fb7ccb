"""Servers of the toy model, each started when it is first asked for."""

import concurrent.futures
import contextlib
import shutil

import pytest
import toy_model
from server_process import development_server, real_server

BATCHING = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 20000 }
max_enqueued_batches { value: 16 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 1
allowed_batch_sizes: 4
allowed_batch_sizes: 8
"""
MONITORING = "prometheus_config { enable: true }"
REAL = shutil.which("tensorflow_model_server")


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A folder with version 1 of the toy model, with a warm-up record."""
    folder = tmp_path_factory.mktemp("base")
    toy_model.write_warmup(toy_model.write(folder, 1))
    return folder


@pytest.fixture(scope="session")
def servers(base, tmp_path_factory):
    """Starts a server of each kind once, when it is first asked for."""
    logs = tmp_path_factory.mktemp("logs")
    (logs / "batching.txt").write_text(BATCHING)
    (logs / "monitoring.txt").write_text(MONITORING)
    common = ("--rest_api_timeout_in_ms=2000",)
    flags = {
        "plain": (
            *common,
            f"--monitoring_config_file={logs / 'monitoring.txt'}",
            "--max_request_bytes=2000000",
            "--page",
        ),
        "batched": (
            *common,
            "--enable_batching",
            f"--batching_parameters_file={logs / 'batching.txt'}",
            "--rest_api_enable_cors_support",
        ),
        "real": common,
    }
    with contextlib.ExitStack() as stack:
        running = {}

        def start(kind: str):
            if kind == "real" and not REAL:
                pytest.skip("no tensorflow_model_server on PATH")
            if kind not in running:
                arguments = base, logs / f"{kind}.log", *flags[kind]
                running[kind] = stack.enter_context(
                    real_server(REAL, *arguments)
                    if kind == "real"
                    else development_server(*arguments)
                )
            return running[kind]

        yield start


@pytest.fixture
def plain(servers):
    return servers("plain")


@pytest.fixture
def client(plain):
    with contextlib.closing(plain.client()) as client:
        yield client


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        yield pool
