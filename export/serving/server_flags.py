"""The command's flags: tensorflow_model_server's names, and our own."""

from absl import flags

# --help lists the flags of the command that has them defined here.
flags.disclaim_key_flags()

# Flags that tensorflow_model_server does not have.
OWN_FLAGS = ("host", "max_request_bytes", "max_rows", "page")

_STRINGS = [
    ("model_name", "default", "name of the model in requests"),
    (
        "model_base_path",
        None,
        "folder with the model's versions, each a folder named by a number",
    ),
    (
        "model_config_file",
        None,
        "text proto ModelServerConfig: several models, versions and labels; "
        "instead of --model_name and --model_base_path",
    ),
    (
        "batching_parameters_file",
        None,
        "text proto BatchingParameters, with --enable_batching",
    ),
    (
        "monitoring_config_file",
        None,
        "text proto MonitoringConfig: where Prometheus finds the metrics",
    ),
    (
        "host",
        "127.0.0.1",
        "address to listen at; 0.0.0.0 opens the server to the whole network",
    ),
]
_BOOLEANS = [
    (
        "allow_version_labels_for_unavailable_models",
        "labels may name versions that are not served yet",
    ),
    ("enable_batching", "merge concurrent requests"),
    (
        "rest_api_enable_cors_support",
        "allow pages of other origins to use the REST API",
    ),
    ("page", "serve the demo page at /"),
]
# Name, default, min, max, help.
_INTEGERS = [
    ("port", 8500, 0, 65535, "port of gRPC; 0: a free one"),
    ("rest_api_port", 8501, 0, 65535, "port of REST; 0: a free one"),
    (
        "rest_api_timeout_in_ms",
        30000,
        1,
        None,
        "time-out of a REST prediction, and of a connection on which nothing "
        "happens; gRPC's clients set their own",
    ),
    (
        "model_config_file_poll_wait_seconds",
        0,
        0,
        None,
        "seconds between two reads of --model_config_file; 0: it is read once",
    ),
    (
        "tensorflow_intra_op_parallelism",
        0,
        0,
        None,
        "threads of one operation; 0: as many as cores",
    ),
    (
        "max_request_bytes",
        32 * 2**20,
        1,
        2**31 - 1,
        "max size of a request, REST or gRPC",
    ),
    ("max_rows", 64, 1, None, "max number of rows of a request"),
]


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags on the given values."""
    for name, default, text in _STRINGS:
        flags.DEFINE_string(name, default, text, flag_values=values)
    for name, text in _BOOLEANS:
        flags.DEFINE_bool(name, False, text, flag_values=values)
    for name, default, low, high, text in _INTEGERS:
        bounds = {"lower_bound": low, "upper_bound": high}
        flags.DEFINE_integer(name, default, text, **bounds, flag_values=values)
