"""Flags and the files they name."""

import pytest
from absl import flags

from attngan_tf.errors import UserError
from export import serve
from export.serving import ports, server_flags, settings
from export.serving.model_settings import ModelSettings

BASE = "--model_base_path=/models/m"


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


def test_defaults():
    found = read(BASE)
    assert found.models == [
        ModelSettings(name="default", base_path="/models/m")
    ]
    assert (found.batching, found.metrics_path) == (None, None)
    assert (found.port, found.rest_api_port) == (8500, 8501)
    assert found.host == "127.0.0.1"


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
        allowed_batch_sizes=(1, 8),
    )
    assert [found.padded(rows) for rows in (1, 2, 8)] == [1, 8, 8]
    default = read(BASE, "--enable_batching").batching
    assert default.max_batch_size == 1000
    assert default.padded(3) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_sise { value: 8 }", "max_batch_sise"),
        ("num_batch_threads { value: 0 }", "must be positive"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "end with"),
        ("allowed_batch_sizes: 8 allowed_batch_sizes: 4", "must ascend"),
    ],
)
def test_wrong_batching_parameters(write, text, words):
    flag = write("batching_parameters_file", text)
    with pytest.raises(UserError, match=words):
        read(BASE, "--enable_batching", flag)


def test_metrics_path(write):
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
    ("old", "new", "words"),
    [
        ('"tensorflow"', '"other"', "model_platform"),
        ('name: "b"', 'name: "a"', "different names; received a, a, c, d"),
        ('name: "b"', 'name: "b/c"', "must not be empty or contain /"),
        ('base_path: "/models/b"', "", "base_path must be absolute"),
        ("/models/b", "models/b", "base_path must be absolute"),
        ("all {}", "all {", "with a ModelServerConfig"),
        ("model_config_list", "model_konfig_list", "model_konfig_list"),
        (MODELS, "", "different names; received none"),
    ],
)
def test_wrong_model_files(write, old, new, words):
    flag = write("model_config_file", MODELS.replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        read(flag)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "neither"),
        ([BASE, "--model_config_file=x"], "both"),
        ([BASE, "--model_name=a/b"], "'a/b'"),
        ([BASE, "--port=9", "--rest_api_port=9"], "must differ"),
        ([BASE, "--batching_parameters_file=x"], "needs --enable_batching"),
        ([BASE, "--monitoring_config_file=/nope"], "/nope"),
        (
            [BASE, "--model_config_file_poll_wait_seconds=1"],
            "needs --model_config_file; received 1",
        ),
    ],
)
def test_flags_that_do_not_fit_together(arguments, words):
    with pytest.raises(UserError, match=words):
        read(*arguments)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_foreign_host_is_a_user_error(host):
    with pytest.raises(UserError, match=f"--port .* received 0: {host}"):
        ports.bind("port", host, 0)


def test_command_of_the_real_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = parse(
        "--model_name=m",
        "--model_base_path=models",
        "--enable_batching",
        "--batching_parameters_file=b.txt",
        "--page",
        "--host=0.0.0.0",
        "--port=0",
        "--max_request_bytes=9",
        "--max_rows=3",
    )
    assert serve.real_command(values) == (
        f"tensorflow_model_server --model_name=m --model_base_path={tmp_path}/"
        f"models --enable_batching=true --batching_parameters_file={tmp_path}/"
        "b.txt --port=8500 --rest_api_port=8501"
    )
