"""Flags and the files they name."""

import os
import socket
import subprocess

import pytest
from absl import flags
from server_process import command_line, environment

from attngan_tf.errors import UserError
from export import serve
from export.serving import model_settings, ports, server_flags, settings
from export.serving.limits import Limits


def parse(*arguments):
    values = flags.FlagValues()
    server_flags.define_flags(values)
    values(["serve", *arguments])
    return values


def read(*arguments):
    return settings.read(parse(*arguments))


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns the flag that names it."""

    def write(flag, text):
        file = tmp_path / f"{flag}.txt"
        file.write_text(text)
        return f"--{flag}={file}"

    return write


BASE = "--model_base_path=/models/m"


def test_the_defaults():
    found = read(BASE)
    assert found.models == [
        model_settings.ModelSettings(name="default", base_path="/models/m")
    ]
    assert (found.port, found.rest_api_port) == (8500, 8501)
    assert found.timeout_seconds == 30
    assert found.poll_seconds == 1
    assert found.host == "127.0.0.1"
    assert found.batching is None
    assert found.metrics_path is None


def test_batching_parameters(write):
    text = """
    max_batch_size { value: 8 } batch_timeout_micros { value: 5000 }
    max_enqueued_batches { value: 16 } num_batch_threads { value: 2 }
    allowed_batch_sizes: 1 allowed_batch_sizes: 8
    thread_pool_name { value: "mine" }
    """
    flag = write("batching_parameters_file", text)
    found = read(BASE, "--enable_batching", flag).batching
    assert found == settings.BatchingSettings(
        max_batch_size=8,
        batch_timeout_micros=5000,
        max_enqueued_batches=16,
        num_batch_threads=2,
        thread_pool_name="mine",
        allowed_batch_sizes=(1, 8),
    )
    assert [found.padded(rows) for rows in (1, 2, 8)] == [1, 8, 8]
    default = read(BASE, "--enable_batching").batching
    assert default.max_batch_size == 1000
    assert default.padded(3) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_sise { value: 8 }", "max_batch_sise"),
        ("max_batch_size: 8", "max_batch_size"),
        ("max_batch_size { value: 0 }", "at least 1; received 0"),
        ("batch_timeout_micros { value: -1 }", "at least 0; received -1"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "end with max_batch_size = 8; received 4",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 8 "
            "allowed_batch_sizes: 8",
            "must ascend",
        ),
    ],
)
def test_bad_batching_parameters(write, text, said):
    flag = write("batching_parameters_file", text)
    with pytest.raises(UserError) as raised:
        read(BASE, "--enable_batching", flag)
    assert said in str(raised.value)


def test_limits_of_clients():
    found = read(
        BASE,
        "--max_request_bytes=9",
        "--max_connections=8",
        "--max_requests_per_client=7",
        "--rest_api_timeout_in_ms=6000",
    ).limits
    assert found == Limits(
        request_bytes=9, connections=8, requests=7, seconds=6.0
    )


def test_the_metrics_path(write):
    def path(text):
        return read(BASE, write("monitoring_config_file", text)).metrics_path

    assert path('prometheus_config { enable: true path: "/m" }') == "/m"
    assert path("prometheus_config { enable: true }") == settings.METRICS_PATH
    assert path('prometheus_config { path: "/m" }') is None
    with pytest.raises(UserError, match="must start with /"):
        path('prometheus_config { enable: true path: "m" }')


MODELS = """
model_config_list {
  config {
    name: "a" base_path: "/models/a" model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 versions: 5 } }
    version_labels { key: "stable" value: 3 }
    version_labels { key: "canary" value: 5 }
  }
  config {
    name: "b" base_path: "/models/b" model_platform: "tensorflow"
    model_version_policy { all {} }
  }
  config {
    name: "c" base_path: "/models/c" model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
  }
  config { name: "d" base_path: "/models/d" model_platform: "tensorflow" }
}
"""


def test_models_of_a_file(write):
    a, b, c, d = read(write("model_config_file", MODELS)).models
    assert (a.specific, a.newest) == ((3, 5), 0)
    assert a.labels == {"stable": 3, "canary": 5}
    present = {1, 3, 5, 7}
    assert [model.wanted(present) for model in (a, b, c, d)] == [
        {3, 5},
        present,
        {5, 7},
        {7},
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"tensorflow"', '"other"', "model_platform"),
        ('name: "b"', 'name: "a"', "names must differ"),
        ('name: "b"', 'name: "b/c"', "must not be empty, nor hold /"),
        ('base_path: "/models/b"', "", "base_path must be a whole path"),
        ("/models/b", "models/b", "base_path must be a whole path"),
        ("all {}", "latest {}", "num_versions must be at least 1"),
        ("versions: 3 versions: 5", "", "specific needs versions"),
        ("all {}", "all {", "with a ModelServerConfig"),
        ("model_config_list", "model_konfig_list", "model_konfig_list"),
        (MODELS, "", "must hold a config"),
        ("all {} }", "all {} } logging_config {}", "logging_config"),
    ],
)
def test_bad_model_files(write, old, new, said):
    flag = write("model_config_file", MODELS.replace(old, new, 1))
    if old == '"tensorflow"':
        flag = write("model_config_file", MODELS.replace(old, new))
    with pytest.raises(UserError) as raised:
        read(flag)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "neither"),
        ([BASE, "--model_config_file=x"], "both"),
        ([BASE, "--model_name=a/b"], "'a/b'"),
        ([BASE, "--port=9", "--rest_api_port=9"], "must differ"),
        ([BASE, "--batching_parameters_file=x"], "--enable_batching"),
        ([BASE, "--monitoring_config_file=/nope"], "/nope"),
    ],
)
def test_mistakes_are_one_line(arguments, said):
    with pytest.raises(UserError) as raised:
        read(*arguments)
    assert said in str(raised.value)


def test_rereading_needs_a_file():
    with pytest.raises(UserError, match="needs --model_config_file; received"):
        read(BASE, "--model_config_file_poll_wait_seconds=1")


def test_zero_ports_may_be_equal():
    assert read(BASE, "--port=0", "--rest_api_port=0").port == 0


def test_a_port_in_use_or_a_foreign_host_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port .* received {number}"):
            ports.bind("port", "127.0.0.1", number)
    with pytest.raises(UserError, match="no-such-host"):
        ports.bind("port", "no-such-host.invalid", 0)
    with pytest.raises(UserError, match="--port"):
        ports.bind("port", "192.0.2.1", 0)


def test_the_real_servers_commands(write, tmp_path):
    batching = write("batching_parameters_file", "")
    values = parse(
        "--model_name=m",
        f"--model_base_path={tmp_path}",
        "--enable_batching",
        batching,
        "--page",
        "--host=0.0.0.0",
        "--port=0",
        "--max_request_bytes=9",
        "--max_rows=3",
        "--max_connections=7",
        "--max_requests_per_client=6",
    )
    found = settings.Settings(
        models=settings.read(parse("--model_name=m", BASE)).models,
        **{
            field: None
            for field in settings.Settings.__dataclass_fields__
            if field not in ("models", "host", "port", "rest_api_port")
        },
        host="0.0.0.0",
        port=0,
        rest_api_port=8501,
    )
    docker, installed = serve.real_commands(values, found)
    file = batching.split("=")[1]
    folder = os.path.dirname(file)
    assert installed == (
        "tensorflow_model_server --model_name=m --model_base_path=/models/m "
        f"--enable_batching=true --batching_parameters_file={file} "
        "--port=8500 --rest_api_port=8501"
    )
    assert docker == (
        "docker run --rm -p 0.0.0.0:8500:8500 -p 0.0.0.0:8501:8501 "
        f"-e MODEL_NAME=m -v {folder}:{folder}:ro -v /models/m:/models/m:ro "
        "tensorflow/serving --enable_batching=true "
        f"--batching_parameters_file={file}"
    )


def test_docker_is_told_an_address_not_a_name():
    values = parse("--model_name=m", BASE, "--host=localhost")
    docker, _ = serve.real_commands(values, settings.read(values))
    assert "-p 127.0.0.1:8500:8500 " in docker or "-p '[::1]:8500" in docker


def test_the_command_takes_flags_only():
    with pytest.raises(UserError, match="serve takes flags only"):
        serve.main(parse(BASE), ["a"])


def run(*arguments):
    return subprocess.run(
        command_line(*arguments),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_lists_every_flag():
    values = flags.FlagValues()
    server_flags.define_flags(values)
    said = run("--help").stdout
    for name in values:
        assert f"--{name}:" in said or f"--[no]{name}:" in said


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_mistakes_are_told_before_tensorflow_is_loaded(tmp_path, flag):
    (tmp_path / "1").mkdir()
    base = f"--model_base_path={tmp_path}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        for arguments, said in [
            ((base, "--port=0", f"--{flag}={number}"), flag),
            ((f"{base}/1",), "must hold version 1 or higher"),
            ((f"--{flag}=x",), flag),
            (("--allow_nothing",), "allow_nothing"),
        ]:
            ended = run(*arguments)
            assert ended.returncode == 1
            # TensorFlow would have said something of its own.
            (line,) = ended.stderr.splitlines()
            assert line.startswith("error: ")
            assert said in line
