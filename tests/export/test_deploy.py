"""The files of export/deploy, read as the programs that use them do."""

import re
import shlex
import subprocess

import pytest
import yaml
from absl import flags
from fake_server import FakeServer
from server_process import DEPLOY

from export import client, saved_model
from export.serving import settings

# Flags of tensorflow_model_server, as in its main.cc.
SERVER_FLAGS = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "monitoring_config_file",
    "port",
    "rest_api_enable_cors_support",
    "rest_api_port",
    "rest_api_timeout_in_ms",
}


@pytest.fixture(scope="module")
def compose():
    text = (DEPLOY / "docker-compose.yml").read_text()
    return yaml.safe_load(text)["services"]["serving"]


def flag_names(arguments) -> set[str]:
    return {
        argument.removeprefix("--").split("=")[0]
        for argument in arguments
        if argument.startswith("--")
    }


def commands_of_readme() -> list[list[str]]:
    """The commands in the README's shell blocks, split into arguments."""
    text = (DEPLOY / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def test_proxy_accepts_as_many_rows_as_a_batch():
    text = (DEPLOY / "batching.pbtxt").read_text()
    (rows,) = re.findall(r"max_batch_size \{ value: (\d+) \}", text)
    assert f"const MAX_ROWS = {rows};" in (DEPLOY / "requests.js").read_text()


def test_compose_uses_flags_of_the_server(compose):
    assert compose["image"].startswith("tensorflow/serving:")
    assert flag_names(compose["command"]) <= SERVER_FLAGS
    # The image's entry point sets the ports.
    assert not flag_names(compose["command"]) & {"port", "rest_api_port"}
    ports = {port.rsplit(":", 1)[1] for port in compose["ports"]}
    assert ports == {"8500", "8501"}


def test_compose_names_existing_files(compose):
    mounted = [volume.rsplit(":", 2) for volume in compose["volumes"]]
    targets = {target: source for source, target, _ in mounted}
    assert targets["/config"] == "."
    assert "/models" in targets
    named = [
        argument.split("=/config/")[1]
        for argument in compose["command"]
        if "=/config/" in argument
    ]
    assert sorted(named) == sorted(path.name for path in DEPLOY.glob("*.pbtxt"))


def test_readme_uses_flags_that_exist():
    values = flags.FlagValues()
    saved_model.define_flags(values)
    seen = set()
    for name, *arguments in commands_of_readme():
        if name == "python":
            _, name, *arguments = arguments
        if name == "tensorflow_model_server":
            assert flag_names(arguments) <= SERVER_FLAGS
        elif name == "export.client":
            client.parser().parse_intermixed_args(arguments)
        elif name == "export.saved_model":
            assert flag_names(arguments) <= set(values)
        seen.add(name)
    assert seen >= {
        "tensorflow_model_server",
        "export.client",
        "export.saved_model",
    }


def health(compose, port: int) -> int:
    """The exit code of the container's health check, run on another port."""
    kind, *command = compose["healthcheck"]["test"]
    assert kind == "CMD"
    assert "/8501 " in command[-1]
    command[-1] = command[-1].replace("/8501 ", f"/{port} ")
    return subprocess.run(command, capture_output=True, timeout=30).returncode


@pytest.mark.parametrize(
    ("state", "healthy"),
    [("AVAILABLE", True), ("LOADING", False), ("UNLOADING", False)],
)
def test_health_check_waits_for_the_model(compose, state, healthy):
    # In the format of TensorFlow Serving.
    body = b'{\n "model_version_status": [\n  {\n   "version": "1",\n'
    body += b'   "state": "%s",\n' % state.encode()
    body += b'   "status": {"error_code": "OK"}\n  }\n ]\n}\n'
    with FakeServer(lambda _: (200, body)) as server:
        code = health(compose, server.server_port)
    assert [x.path for x in server.requests] == ["/v1/models/attngan"]
    assert (code == 0) == healthy
    assert health(compose, server.server_port) != 0  # nothing listens


@pytest.fixture(scope="module")
def replicas():
    """The objects of replicas.yaml, by kind and name."""
    found = yaml.safe_load_all((DEPLOY / "replicas.yaml").read_text())
    return {(x["kind"], x["metadata"]["name"]): x["spec"] for x in found}


@pytest.fixture(scope="module")
def pod(replicas):
    return replicas["Deployment", "attngan-serving"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod):
    (container,) = pod["containers"]
    return container


def test_replicas_run_the_command_of_the_compose_file(compose, container):
    # No page is served there, and a new configuration makes new pods.
    omitted = {
        "rest_api_enable_cors_support",
        "model_config_file_poll_wait_seconds",
    }
    assert set(container["args"]) == {
        argument
        for argument in compose["command"]
        if not flag_names([argument]) & omitted
    }
    check = compose["healthcheck"]["test"][1:]
    assert container["startupProbe"]["exec"]["command"] == check
    ready = container["readinessProbe"]["httpGet"]
    assert ready == {"path": "/v1/models/attngan", "port": "rest"}


def test_replicas_answer_before_they_end(pod, container):
    (wait,) = container["lifecycle"].values()
    command, seconds = wait["exec"]["command"]
    assert command == "sleep"
    # Long enough for the slowest answer, and then for the server to stop.
    (slowest,) = re.findall(r"timeout_in_ms=(\d+)", " ".join(container["args"]))
    assert int(slowest) / 1000 < int(seconds)
    assert int(seconds) < pod["terminationGracePeriodSeconds"]


def test_replicas_mount_the_files_in_their_flags(pod, container):
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    assert kustomization["resources"] == ["replicas.yaml"]
    (generated,) = kustomization["configMapGenerator"]
    config, models = pod["volumes"]
    assert config["configMap"]["name"] == generated["name"]
    assert all((DEPLOY / name).exists() for name in generated["files"])
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounts == {config["name"]: "/config", models["name"]: "/models"}
    named = re.findall(r"=/config/(\S+)", " ".join(container["args"]))
    assert sorted(named) == sorted(generated["files"])


def test_all_objects_select_the_replicas(replicas, container):
    deployment = replicas["Deployment", "attngan-serving"]
    labels = deployment["template"]["metadata"]["labels"]
    budget = replicas["PodDisruptionBudget", "attngan-serving"]
    for selector in (deployment["selector"], budget["selector"]):
        assert selector["matchLabels"] == labels
    numbers = {x["name"]: x["containerPort"] for x in container["ports"]}
    for name, port_name in (("attngan", "rest"), ("attngan-grpc", "grpc")):
        service = replicas["Service", name]
        assert service["selector"] == labels
        (port,) = service["ports"]
        assert (port["targetPort"], port["port"]) == (
            port_name,
            numbers[port_name],
        )
        # gRPC needs all addresses, REST one.
        assert (service.get("clusterIP") == "None") == (port_name == "grpc")
    scaler = replicas["HorizontalPodAutoscaler", "attngan-serving"]
    assert scaler["scaleTargetRef"]["name"] == "attngan-serving"
    # Otherwise nodes could not be drained.
    assert budget["minAvailable"] < scaler["minReplicas"]


def test_all_files_have_one_version_of_the_image(compose, container):
    version = compose["image"].split(":-")[1].rstrip("}")
    assert container["image"] == f"tensorflow/serving:{version}"
    text = (DEPLOY / "kserve.yaml").read_text()
    assert set(re.findall(r'runtimeVersion: "(.+)"', text)) == {version}


def test_a_server_starts_with_the_files(compose, deployed_server):
    with deployed_server.client() as client:
        for name in ("attngan", "attngan_damsm"):
            for choice in ("", "/versions/1", "/labels/stable"):
                answer = client.predict(name, {"instances": ["a"]}, choice)
                assert answer.status == 200
        assert client.send("GET", settings.METRICS_PATH).status == 200
    address = f":8501{settings.METRICS_PATH}"
    assert address in (DEPLOY / "README.md").read_text()
    assert health(compose, int(deployed_server.url.split(":")[-1])) == 0
