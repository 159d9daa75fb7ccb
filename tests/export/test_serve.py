"""python -m export.serve as a process: how it starts, changes and ends."""

import concurrent.futures
import contextlib
import re
import shutil
import socket
import subprocess
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
    environment,
    served,
    stand_in,
    wait_for,
)
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

BATCHING = "max_batch_size { value: 8 } batch_timeout_micros { value: 5000 }"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with version 1 of the toy model."""
    folder = tmp_path_factory.mktemp("base")
    toy_model.write(folder, 1)
    return folder


def toy_command(base):
    return command_line(
        "--model_name=toy",
        f"--model_base_path={base}",
        "--port=0",
        "--rest_api_port=0",
    )


@contextlib.contextmanager
def under_load(server, clients=3):
    """Keeps asking; afterwards, `failures` lists what was not a 200."""
    stop = threading.Event()
    failures, versions = [], set()

    def ask():
        with contextlib.closing(server.client()) as client:
            while not stop.is_set():
                answer = client.predict("toy", {"instances": ["a"]})
                if answer.status != 200:
                    failures.append(answer)
                versions.add(answer.body)
                time.sleep(0.01)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(ask) for _ in range(clients)]
        try:
            yield failures, versions
        finally:
            stop.set()
        for future in futures:
            future.result()


def test_versions_come_break_and_go_under_load(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    toy_model.write(base, 1, "one")
    file = tmp_path / "batching.txt"
    file.write_text(BATCHING)
    flags = ("--enable_batching", f"--batching_parameters_file={file}")
    with stand_in(base, tmp_path / "log", *flags) as server:
        with under_load(server) as (failures, answers):
            wait_for(lambda: len(answers) == 1)
            toy_model.write(base, 2, "two")
            wait_for(lambda: server.state(1) == "END")
            assert server.state(2) == "AVAILABLE"
            wait_for(lambda: len(answers) == 2)
            # A version that does not load: the old one serves on.
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


def test_a_signal_lets_requests_finish_and_a_restart_draws_the_same(
    base, tmp_path
):
    body = contract.rows({"captions": "a", "seeds": 7})
    answers = []
    for number in range(2):
        with (
            stand_in(base, tmp_path / f"log{number}") as server,
            concurrent.futures.ThreadPoolExecutor(2) as pool,
            contextlib.closing(server.client()) as waiting,
            contextlib.closing(server.client()) as client,
            grpc.insecure_channel(server.grpc) as channel,
        ):
            answers.append(client.predict("toy", body).body)
            # Connected beforehand, so that half a second is enough.
            assert waiting.predict("toy", body).status == 200
            grpc.channel_ready_future(channel).result(timeout=30)
            slow = contract.rows(2.0, signature="slow")
            rest = pool.submit(waiting.predict, "toy", slow)
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "toy"
            request.model_spec.signature_name = "slow"
            request.inputs["seconds"].CopyFrom(tf.make_tensor_proto([2.0]))
            call = pool.submit(stub.Predict, request, timeout=30)
            time.sleep(0.5)
            assert server.terminate() == 0
            answer = rest.result()
            assert answer.json() == {"predictions": [2.0]}
            assert answer.headers["Connection"] == "close"
            assert call.result().outputs["seconds"]
            with pytest.raises(ConnectionError):
                server.client().predict("toy", body)
    assert answers[0] == answers[1]


def test_half_a_request_does_not_keep_a_server_that_ends(base, tmp_path):
    with stand_in(base, tmp_path / "log") as server:
        where = server.url.removeprefix("http://").split(":")
        with socket.create_connection(where) as connection:
            connection.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\n")
            time.sleep(0.5)
            begin = time.monotonic()
            assert server.terminate() == 0
    assert 4 < time.monotonic() - begin < 15
    assert "too long" not in server.log.read_text()


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


def test_output_that_nobody_reads_does_not_stop_the_end(base, tmp_path):
    """A request that runs is answered though the log's reader has gone."""
    with subprocess.Popen(
        toy_command(base),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        line = next(line for line in process.stdout if "ready: " in line)
        url = re.search(r"http://[^/]+", line)[0]
        process.stdout.close()
        with (
            concurrent.futures.ThreadPoolExecutor(1) as pool,
            contextlib.closing(Client(url)) as client,
        ):
            assert client.predict("toy", {"instances": ["a"]}).status == 200
            slow = contract.rows(2.0, signature="slow")
            answer = pool.submit(client.predict, "toy", slow)
            time.sleep(0.5)
            process.terminate()
            assert answer.result().json() == {"predictions": [2.0]}
        assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def broken_base(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(base / "1", folder / "1")
    (folder / "1" / "saved_model.pb").write_bytes(b"no model")
    return folder


@pytest.fixture(scope="module")
def badly_warmed_base(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("warmup")
    shutil.copytree(base / "1", folder / "1")
    toy_model.write_warmup(folder / "1", "generate_png")
    return folder


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("broken_base", "version 1 of toy in"),
        ("badly_warmed_base", "warm-up record 1"),
    ],
)
def test_a_version_that_fails_stops_the_start(request, which, said):
    base = request.getfixturevalue(which)
    ended = subprocess.run(
        toy_command(base),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    errors = [x for x in ended.stderr.splitlines() if x.startswith("error:")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in ended.stderr
