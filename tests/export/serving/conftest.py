"""Servers of the toy model, each started when it is first asked for."""

import contextlib
import shutil

import pytest
from server_process import DEVELOPMENT_SERVER, served

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
REAL = "tensorflow_model_server"


@pytest.fixture(scope="session")
def servers(toy_dir, tmp_path_factory):
    """Starts a server of each kind once, when it is first asked for."""
    logs = tmp_path_factory.mktemp("logs")
    (logs / "batching.txt").write_text(BATCHING)
    (logs / "monitoring.txt").write_text(MONITORING)
    flags = {
        "plain": (
            f"--monitoring_config_file={logs / 'monitoring.txt'}",
            "--max_request_bytes=2000000",
            "--page",
        ),
        "batched": (
            "--enable_batching",
            f"--batching_parameters_file={logs / 'batching.txt'}",
            "--rest_api_enable_cors_support",
        ),
        "real": (),
    }
    running = {}
    with contextlib.ExitStack() as stack:

        def start(kind: str):
            if kind == "real" and not shutil.which(REAL):
                pytest.skip(f"no {REAL} on PATH")
            if kind not in running:
                server = served(
                    logs / f"{kind}.log",
                    "--model_name=toy",
                    f"--model_base_path={toy_dir}",
                    "--rest_api_timeout_in_ms=2000",
                    *flags[kind],
                    program=[REAL] if kind == "real" else DEVELOPMENT_SERVER,
                )
                running[kind] = stack.enter_context(server)
            return running[kind]

        yield start


@pytest.fixture
def plain(servers):
    return servers("plain")


@pytest.fixture
def client(plain):
    with plain.client() as client:
        yield client
