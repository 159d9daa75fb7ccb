"""python -m export.serve as a process: how it starts, changes and ends."""

import concurrent.futures
import re
import shutil
import socket
import subprocess
import sys
import time

import contract
import pytest
import toy_model
from server_process import (
    DEVELOPMENT_SERVER,
    Running,
    environment,
    predict_request,
    served,
    under_load,
    wait_for,
)

BATCHING = "max_batch_size { value: 8 } batch_timeout_micros { value: 5000 }"


def test_versions_are_swapped_under_load(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    toy_model.write(base, 1, "one")
    file = tmp_path / "batching.txt"
    file.write_text(BATCHING)
    with served(
        tmp_path / "log",
        "--model_name=toy",
        f"--model_base_path={base}",
        "--enable_batching",
        f"--batching_parameters_file={file}",
    ) as server:
        with under_load(server) as (failures, answers):
            wait_for(lambda: len(answers) == 1)
            toy_model.write(base, 2, "two")
            wait_for(lambda: server.state(1) == "END")
            assert server.state(2) == "AVAILABLE"
            wait_for(lambda: len(answers) == 2)
            # A version that does not load: the old one is still served.
            broken = base / ".hidden"
            shutil.copytree(base / "2", broken)
            (broken / "variables" / "variables.index").unlink()
            broken.rename(base / "3")
            wait_for(lambda: server.state(3) == "END")
            time.sleep(2)
            assert server.state(2) == "AVAILABLE"
            assert server.log.read_text().count("version 3") == 1
            # Published anew, it is tried again.
            shutil.rmtree(base / "3")
            toy_model.write(base, 3, "three")
            wait_for(lambda: server.state(3) == "AVAILABLE")
            wait_for(lambda: len(answers) == 3)
        assert not failures
        assert server.terminate() == 0


def toy_command(base):
    return (
        *DEVELOPMENT_SERVER,
        "--model_name=toy",
        f"--model_base_path={base}",
        "--port=0",
        "--rest_api_port=0",
    )


@pytest.fixture
def unread_server(toy_dir):
    """A server whose output nobody reads any more."""
    with subprocess.Popen(
        toy_command(toy_dir),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            ready = next(line for line in process.stdout if "ready: " in line)
            process.stdout.close()
            url, grpc = re.search(
                r"REST at (http://[^/]+)/v1/models/toy, gRPC at (\S+)", ready
            ).groups()
            yield Running(process, url, grpc, "toy", log=None)
        finally:
            process.kill()


def test_running_requests_are_answered_after_sigterm(unread_server):
    slow = contract.rows(3.0, signature="slow")
    slow_request = predict_request("toy", "slow", seconds=[3.0])
    with (
        concurrent.futures.ThreadPoolExecutor(2) as pool,
        unread_server.client() as client,
        unread_server.client() as late,
        unread_server.grpc_stub() as stub,
    ):
        # Connected beforehand, so that half a second is enough.
        for connection in (client, late):
            assert connection.send("GET", "/v1/models/toy").status == 200
        rest = pool.submit(client.predict, "toy", slow)
        call = pool.submit(stub.Predict, slow_request, timeout=30)
        time.sleep(0.5)
        unread_server.process.terminate()
        wait_for(lambda: late.send("GET", "/v1/models/toy").status == 503)
        assert not rest.done()
        assert rest.result().json() == {"predictions": [3.0]}
        assert call.result().outputs["seconds"]
    assert unread_server.process.wait(timeout=60) == 0
    with pytest.raises(ConnectionError), unread_server.client() as client:
        client.predict("toy", slow)


def test_models_and_labels_follow_the_config_file(toy_dir, tmp_path):
    file = tmp_path / "models.txt"

    def config(name: str, label: str) -> str:
        return (
            f'model_config_list {{ config {{ name: "{name}" '
            f'base_path: "{toy_dir}" model_platform: "tensorflow" '
            f'version_labels {{ key: "{label}" value: 1 }} }} }}'
        )

    file.write_text(config("toy", "stable"))
    with served(
        tmp_path / "log",
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=1",
        "--tensorflow_intra_op_parallelism=1",
    ) as server:

        def status(name, label):
            with server.client() as client:
                choice = f"/labels/{label}"
                body = {"instances": ["a"]}
                return client.predict(name, body, choice).status

        assert status("toy", "stable") == 200
        assert status("toy", "canary") == 400
        file.write_text(config("toy", "canary"))
        wait_for(lambda: status("toy", "canary") == 200)
        file.write_text("nonsense")
        wait_for(lambda: "model_config_file" in server.log.read_text())
        assert status("toy", "canary") == 200
        file.write_text(config("other", "stable"))
        wait_for(lambda: status("other", "stable") == 200)
        wait_for(lambda: status("toy", "canary") == 404)


def failed(*command) -> subprocess.CompletedProcess:
    """Runs a command that must end with exit code 1."""
    ended = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended


def test_version_that_fails_stops_the_start(toy_dir, tmp_path):
    shutil.copytree(toy_dir / "1", tmp_path / "1")
    toy_model.write_warmup(tmp_path / "1", "generate_png")
    lines = failed(*toy_command(tmp_path)).stderr.splitlines()
    (error,) = [line for line in lines if line.startswith("error:")]
    assert "version 1 of toy in" in error
    assert "warm-up record 1" in error


def test_missing_package_is_one_line(toy_dir):
    _, _, module, *flags = toy_command(toy_dir)
    without = (
        "import runpy, sys; sys.modules['waitress'] = None; "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    ended = failed(sys.executable, "-c", without, *flags)
    assert "waitress" in ended.stderr
    assert ended.stderr.endswith("[serve]'\n")


def test_user_errors_are_one_line_before_tensorflow_is_loaded(tmp_path):
    (tmp_path / "1").mkdir()
    base = f"--model_base_path={tmp_path}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        for arguments, words in [
            ((base, f"--port={number}"), "--port must be a free port"),
            ((base, "--port=0", f"--rest_api_port={number}"), "rest_api_port"),
            ((f"{base}/1",), "must hold version 1 or higher"),
            (("--port=x",), "port"),
            ((base, "word"), "takes flags only"),
        ]:
            ended = failed(*DEVELOPMENT_SERVER, *arguments)
            # TensorFlow would have printed lines of its own.
            (line,) = ended.stderr.splitlines()
            assert line.startswith("error: ")
            assert words in line


def test_help_lists_every_flag():
    from export.serving.server_flags import Flags

    text = failed(*DEVELOPMENT_SERVER, "--help").stdout  # absl exits with 1
    for name in Flags.__dataclass_fields__:
        assert f"--{name}:" in text or f"--[no]{name}:" in text
