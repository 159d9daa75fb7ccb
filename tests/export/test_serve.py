"""python -m export.serve as a process: how it starts, changes and ends."""

import concurrent.futures
import contextlib
import shutil
import subprocess
import sys
import threading
import time

import contract
import grpc
import pytest
import tensorflow as tf
import toy_model
from server_process import (
    Client,
    command_line,
    development_server,
    environment,
    served,
    wait_for,
)
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

BATCHING = "max_batch_size { value: 8 } batch_timeout_micros { value: 5000 }"
SLOW = contract.rows(2.0, signature="slow")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with version 1 of the toy model."""
    folder = tmp_path_factory.mktemp("base")
    toy_model.write(folder, 1)
    return folder


@contextlib.contextmanager
def under_load(server, clients=3):
    """Sends requests; afterwards, `failures` lists what was not a 200."""
    stop = threading.Event()
    failures, answers = [], set()

    def send():
        with contextlib.closing(server.client()) as client:
            while not stop.is_set():
                answer = client.predict("toy", {"instances": ["a"]})
                if answer.status != 200:
                    failures.append(answer)
                answers.add(answer.body)
                time.sleep(0.01)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(send) for _ in range(clients)]
        try:
            yield failures, answers
        finally:
            stop.set()
        for future in futures:
            future.result()


def test_versions_are_swapped_under_load(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    toy_model.write(base, 1, "one")
    file = tmp_path / "batching.txt"
    file.write_text(BATCHING)
    flags = ("--enable_batching", f"--batching_parameters_file={file}")
    with development_server(base, tmp_path / "log", *flags) as server:
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


def test_running_requests_are_answered_after_sigterm(base, tmp_path):
    with (
        development_server(base, tmp_path / "log") as server,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
        contextlib.closing(server.client()) as client,
        contextlib.closing(server.client()) as late,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "toy"
        request.model_spec.signature_name = "slow"
        request.inputs["seconds"].CopyFrom(tf.make_tensor_proto([2.0]))
        # Connected beforehand, so that half a second is enough.
        grpc.channel_ready_future(channel).result(timeout=30)
        for connection in (client, late):
            assert connection.send("GET", "/v1/models/toy").status == 200
        rest = pool.submit(client.predict, "toy", SLOW)
        call = pool.submit(stub.Predict, request, timeout=30)
        time.sleep(0.5)
        server.process.terminate()
        wait_for(lambda: "answering the requests" in server.log.read_text())
        time.sleep(0.2)
        assert late.predict("toy", {"instances": ["a"]}).status == 503
        assert rest.result().json() == {"predictions": [2.0]}
        assert call.result().outputs["seconds"]
        assert server.process.wait(timeout=60) == 0
        assert "cut off" not in server.log.read_text()
        with pytest.raises(ConnectionError):
            server.client().predict("toy", SLOW)


def test_models_and_labels_follow_the_config_file(base, tmp_path):
    file = tmp_path / "models.txt"

    def config(name: str, label: str) -> str:
        return (
            f'model_config_list {{ config {{ name: "{name}" '
            f'base_path: "{base}" model_platform: "tensorflow" '
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
            with contextlib.closing(server.client()) as client:
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


def toy_command(base):
    return command_line(
        "--model_name=toy",
        f"--model_base_path={base}",
        "--port=0",
        "--rest_api_port=0",
    )


def test_unread_output_does_not_stop_the_drain(base):
    with subprocess.Popen(
        toy_command(base),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        line = next(line for line in process.stdout if "ready: " in line)
        process.stdout.close()
        with (
            concurrent.futures.ThreadPoolExecutor(1) as pool,
            contextlib.closing(Client(line.split()[4])) as client,
        ):
            assert client.predict("toy", {"instances": ["a"]}).status == 200
            answer = pool.submit(client.predict, "toy", SLOW)
            time.sleep(0.5)
            process.terminate()
            assert answer.result().json() == {"predictions": [2.0]}
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def error_line(*command) -> str:
    """The one line of error of a command that must fail."""
    ended = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.splitlines()
    (error,) = [line for line in lines if line.startswith("error:")]
    return error


def test_version_that_fails_stops_the_start(base, tmp_path):
    shutil.copytree(base / "1", tmp_path / "1")
    toy_model.write_warmup(tmp_path / "1", "generate_png")
    error = error_line(*toy_command(tmp_path))
    assert "version 1 of toy in" in error
    assert "warm-up record 1" in error


def test_missing_package_is_one_line(base):
    _, _, module, *flags = toy_command(base)
    without = (
        "import runpy, sys; sys.modules['waitress'] = None; "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    error = error_line(sys.executable, "-c", without, *flags)
    assert "waitress" in error
    assert error.endswith('run: pip install -e ".[serve]"')
