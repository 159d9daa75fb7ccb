"""Servers of the toy model, each started when it is first asked for."""

import concurrent.futures
import contextlib
import dataclasses
import shutil

import pytest
import toy_model
from plain_http import LIMITS, App
from server_process import real_server, stand_in

from export.serving import ports
from export.serving.http_server import HttpServer

BATCHING = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 20000 }
max_enqueued_batches { value: 16 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 1
allowed_batch_sizes: 4
allowed_batch_sizes: 8
"""
MONITORING = """
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""
REAL = shutil.which("tensorflow_model_server")


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A folder with version 1 of the toy model, with a warm-up record."""
    folder = tmp_path_factory.mktemp("base")
    toy_model.write_warmup(toy_model.write(folder, 1))
    return folder


@pytest.fixture(scope="session")
def batching_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("batching") / "batching.txt"
    file.write_text(BATCHING)
    return file


@pytest.fixture(scope="session")
def servers(base, batching_file, tmp_path_factory):
    """Starts each kind of server once, when it is first asked for."""
    logs = tmp_path_factory.mktemp("logs")
    monitoring = logs / "monitoring.txt"
    monitoring.write_text(MONITORING)
    common = ("--rest_api_timeout_in_ms=2000",)
    flags = {
        "plain": (
            *common,
            "--enable_cors_support",
            f"--monitoring_config_file={monitoring}",
            "--max_request_bytes=2000000",
        ),
        "batched": (
            *common,
            "--enable_batching",
            f"--batching_parameters_file={batching_file}",
        ),
        "real": common,
    }
    with contextlib.ExitStack() as stack:
        running = {}

        def start(kind: str):
            if kind == "real" and not REAL:
                pytest.skip("no tensorflow_model_server on PATH")
            if kind not in running:
                log = logs / f"{kind}.log"
                context = (
                    real_server(REAL, base, log, *flags[kind])
                    if kind == "real"
                    else stand_in(base, log, *flags[kind])
                )
                running[kind] = stack.enter_context(context)
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
def app():
    return App()


@pytest.fixture
def start(app):
    """Starts a server with so many threads; returns it and its port."""
    servers = []

    def start(threads=2, **limits):
        bound = ports.bind("rest_api_port", "127.0.0.1", 0)
        changed = dataclasses.replace(LIMITS, **limits)
        server = HttpServer(app, bound, threads, changed)
        server.start()
        servers.append(server)
        return server, bound.getsockname()[1]

    yield start
    app.gate.set()
    for server in servers:
        server.stop(5)


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool
