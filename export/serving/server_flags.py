"""The command's flags: tensorflow_model_server's names, and our own."""

import dataclasses
from typing import Any

from absl import flags

# --help lists the flags of the command that has them defined here.
flags.disclaim_key_flags()

# Flags that tensorflow_model_server does not have.
OWN_FLAGS = ("host", "max_request_bytes", "max_rows", "page")


def _flag(default: Any, text: str, **bounds: int) -> Any:
    metadata = {"help": text, "bounds": bounds}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags' values."""

    model_name: str = _flag("default", "name of the model in requests")
    model_base_path: str | None = _flag(
        None, "folder with the model's versions, each a folder with a number"
    )
    model_config_file: str | None = _flag(
        None,
        "text proto ModelServerConfig: several models, versions and labels; "
        "instead of --model_name and --model_base_path",
    )
    model_config_file_poll_wait_seconds: int = _flag(
        0,
        "seconds between two reads of --model_config_file; 0: it is read once",
        lower_bound=0,
    )
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "labels may name versions that are not served yet"
    )
    enable_batching: bool = _flag(False, "merge concurrent requests")
    batching_parameters_file: str | None = _flag(
        None, "text proto BatchingParameters, with --enable_batching"
    )
    monitoring_config_file: str | None = _flag(
        None, "text proto MonitoringConfig: where Prometheus finds the metrics"
    )
    tensorflow_intra_op_parallelism: int = _flag(
        0, "threads of one operation; 0: as many as cores", lower_bound=0
    )
    port: int = _flag(
        8500, "port of gRPC; 0: a free one", lower_bound=0, upper_bound=65535
    )
    rest_api_port: int = _flag(
        8501, "port of REST; 0: a free one", lower_bound=0, upper_bound=65535
    )
    rest_api_timeout_in_ms: int = _flag(
        30000,
        "timeout of a REST prediction, and of an idle connection; gRPC clients "
        "set their own",
        lower_bound=1,
    )
    rest_api_enable_cors_support: bool = _flag(
        False, "allow pages of other origins to use the REST API"
    )
    host: str = _flag(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 opens the server to the whole network",
    )
    max_request_bytes: int = _flag(
        32 * 2**20,
        "max size of a request, REST or gRPC",
        lower_bound=1,
        upper_bound=2**31 - 1,
    )
    max_rows: int = _flag(64, "max number of rows of a request", lower_bound=1)
    page: bool = _flag(False, "serve the demo page at /")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags on the given values."""
    kinds = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer}
    for field in dataclasses.fields(Flags):
        define = kinds.get(type(field.default), flags.DEFINE_string)
        text, bounds = field.metadata["help"], field.metadata["bounds"]
        define(field.name, field.default, text, flag_values=values, **bounds)
