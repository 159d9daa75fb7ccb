"""The files of export/deploy, read as the programs that use them do."""

import re
import shlex
import subprocess

import pytest
import yaml
from absl import flags
from deployed import DEPLOY, model_config
from fake_server import FakeServer

from export import client, saved_model
from export.serving import settings

# The flags of tensorflow_model_server, from its main.cc.
SERVER_FLAGS = (
    "port grpc_socket_path rest_api_port rest_api_num_threads "
    "rest_api_timeout_in_ms rest_api_enable_cors_support enable_batching "
    "allow_version_labels_for_unavailable_models batching_parameters_file "
    "enable_per_model_batching_parameters model_config_file "
    "model_config_file_poll_wait_seconds model_name model_base_path "
    "num_load_threads num_unload_threads max_num_load_retries "
    "load_retry_interval_micros file_system_poll_wait_seconds "
    "flush_filesystem_caches tensorflow_session_parallelism "
    "tensorflow_session_config_file tensorflow_intra_op_parallelism "
    "tensorflow_inter_op_parallelism ssl_config_file platform_config_file "
    "per_process_gpu_memory_fraction saved_model_tags "
    "grpc_channel_arguments grpc_max_threads enable_model_warmup "
    "num_request_iterations_for_warmup version monitoring_config_file "
    "remove_unused_fields_from_bundle_metagraph "
    "enable_signature_method_name_check enable_profiler "
    "thread_pool_factory_config_file "
)


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


def test_labels_name_loaded_versions():
    entries = model_config().model_config_list.config
    assert [entry.name for entry in entries] == ["attngan", "attngan_damsm"]
    for entry in entries:
        assert entry.model_platform == "tensorflow"
        assert entry.base_path == f"/models/{entry.name}"
        assert set(entry.version_labels) == {"stable", "canary"}
        versions = entry.model_version_policy.specific.versions
        assert set(entry.version_labels.values()) <= set(versions)


def test_compose_uses_flags_of_the_server(compose):
    assert compose["image"].startswith("tensorflow/serving:")
    assert flag_names(compose["command"]) <= set(SERVER_FLAGS.split())
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


def test_readme_uses_flags_of_the_server():
    commands = [
        command
        for command in commands_of_readme()
        if command[0] == "tensorflow_model_server"
    ]
    assert commands
    for command in commands:
        assert flag_names(command) <= set(SERVER_FLAGS.split())
        assert "--model_config_file=models/models.pbtxt" in command


def test_readme_uses_flags_of_the_other_commands():
    values = flags.FlagValues()
    saved_model.define_flags(values)
    seen = set()
    for command in commands_of_readme():
        if command[:2] != ["python", "-m"]:
            continue
        seen.add(command[2])
        if command[2] == "export.client":
            client.parser().parse_intermixed_args(command[3:])
        if command[2] == "export.saved_model":
            assert flag_names(command) <= set(values)
    assert seen == {"export.client", "export.saved_model", "http.server"}


def test_readme_writes_a_models_file_for_this_machine(tmp_path):
    (sed,) = [c for c in commands_of_readme() if c[0] == "sed"]
    pattern, file = sed[1], sed[2]
    assert pattern.startswith("s|/models/|$PWD/")
    run = subprocess.run(
        ["sed", pattern.replace("$PWD", str(tmp_path)), file],
        cwd=DEPLOY.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.count(f'"{tmp_path}/models/attngan') == 2


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


def test_kserve_serves_both_models():
    text = (DEPLOY / "kserve.yaml").read_text()
    names = []
    for service in yaml.safe_load_all(text):
        assert service["kind"] == "InferenceService"
        names.append(service["metadata"]["name"])
        model = service["spec"]["predictor"]["model"]
        assert model["modelFormat"]["name"] == "tensorflow"
        folder = model["storageUri"].removeprefix("pvc://models/")
        # Kubernetes allows no _ in a name.
        assert folder.replace("_", "-") == names[-1]
    assert names == ["attngan", "attngan-damsm"]


@pytest.fixture(scope="module")
def replicas():
    """The objects of replicas.yaml, by kind and name."""
    found = yaml.safe_load_all((DEPLOY / "replicas.yaml").read_text())
    return {(x["kind"], x["metadata"]["name"]): x for x in found}


def test_replicas_run_the_command_of_the_compose_file(compose, replicas):
    pod = replicas["Deployment", "attngan-serving"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
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
    assert container["readinessProbe"]["httpGet"] == {
        "path": "/v1/models/attngan",
        "port": "rest",
    }
    (wait,) = container["lifecycle"].values()
    command, seconds = wait["exec"]["command"]
    assert command == "sleep"
    # Long enough for the slowest answer, and then for the server to stop.
    (slowest,) = re.findall(r"timeout_in_ms=(\d+)", " ".join(container["args"]))
    assert int(slowest) / 1000 < int(seconds)
    assert int(seconds) < pod["terminationGracePeriodSeconds"]


def test_replicas_mount_the_files_in_their_flags(replicas):
    pod = replicas["Deployment", "attngan-serving"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
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


def test_all_objects_select_the_replicas(replicas):
    deployment = replicas["Deployment", "attngan-serving"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    ports = deployment["template"]["spec"]["containers"][0]["ports"]
    numbers = {port["name"]: port["containerPort"] for port in ports}
    assert deployment["selector"]["matchLabels"] == labels
    seen = set()
    for (kind, name), found in replicas.items():
        spec = found["spec"]
        if kind == "Service":
            assert spec["selector"] == labels
            (port,) = spec["ports"]
            assert port["port"] == numbers[port["targetPort"]]
            # gRPC needs all addresses, REST one.
            assert (spec.get("clusterIP") == "None") == (port["name"] == "grpc")
            seen.add(name)
    assert seen == {"attngan", "attngan-grpc"}
    budget = replicas["PodDisruptionBudget", "attngan-serving"]["spec"]
    assert budget["selector"]["matchLabels"] == labels
    scaler = replicas["HorizontalPodAutoscaler", "attngan-serving"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "attngan-serving"
    assert scaler["scaleTargetRef"]["kind"] == "Deployment"
    # Otherwise nodes could not be drained.
    assert budget["minAvailable"] < scaler["minReplicas"]
    assert "replicas" not in deployment


def test_all_files_have_one_version_of_the_image(compose, replicas):
    version = compose["image"].split(":-")[1].rstrip("}")
    deployment = replicas["Deployment", "attngan-serving"]["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
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
