"""The command's flags: tensorflow_model_server's names, and ours."""

from absl import flags

# --help lists the flags of the command that has them defined here.
flags.disclaim_key_flags()


def define_flags(values: flags.FlagValues) -> None:
    """Defines the command's flags: tensorflow_model_server's, and ours."""
    _define_model_flags(values)
    _define_run_flags(values)
    _define_protocol_flags(values)
    _define_own_flags(values)


def _define_model_flags(values: flags.FlagValues) -> None:
    common = {"flag_values": values}
    flags.DEFINE_string(
        "model_name", "default", "name of the model in requests", **common
    )
    flags.DEFINE_string(
        "model_base_path",
        None,
        "folder with the model's versions, each a folder named by a number",
        **common,
    )
    flags.DEFINE_string(
        "model_config_file",
        None,
        "text proto ModelServerConfig: several models, versions and labels; "
        "instead of --model_name and --model_base_path",
        **common,
    )
    flags.DEFINE_integer(
        "model_config_file_poll_wait_seconds",
        0,
        "seconds between looks for a changed --model_config_file: other "
        "models, versions, labels; 0: only at the start",
        lower_bound=0,
        **common,
    )
    flags.DEFINE_bool(
        "allow_version_labels_for_unavailable_models",
        False,
        "labels may name versions that are not served yet",
        **common,
    )
    flags.DEFINE_integer(
        "file_system_poll_wait_seconds",
        1,
        "seconds between looks for new versions; 0: only at the start",
        lower_bound=0,
        **common,
    )


def _define_run_flags(values: flags.FlagValues) -> None:
    common = {"flag_values": values}
    flags.DEFINE_bool(
        "enable_batching", False, "merge concurrent requests", **common
    )
    flags.DEFINE_string(
        "batching_parameters_file",
        None,
        "text proto BatchingParameters, with --enable_batching",
        **common,
    )
    for kind, what in (("intra", "one operation"), ("inter", "operations")):
        flags.DEFINE_integer(
            f"tensorflow_{kind}_op_parallelism",
            0,
            f"threads that {what} may use at a time; 0: as many as cores",
            lower_bound=0,
            **common,
        )


def _define_protocol_flags(values: flags.FlagValues) -> None:
    ports = {"lower_bound": 0, "upper_bound": 65535, "flag_values": values}
    at_least_one = {"lower_bound": 1, "flag_values": values}
    flags.DEFINE_integer("port", 8500, "port of gRPC; 0: a free one", **ports)
    flags.DEFINE_integer(
        "rest_api_port", 8501, "port of HTTP; 0: a free one", **ports
    )
    flags.DEFINE_integer(
        "rest_api_timeout_in_ms",
        30000,
        "longest time of an HTTP request: to arrive, to be answered, and for "
        "its answer to be taken; gRPC's clients bring their own",
        **at_least_one,
    )
    flags.DEFINE_integer(
        "rest_api_num_threads",
        32,
        "HTTP requests worked on at once; more of them wait",
        **at_least_one,
    )
    flags.DEFINE_integer(
        "grpc_max_threads",
        32,
        "gRPC requests worked on at once; more of them wait",
        **at_least_one,
    )
    flags.DEFINE_bool(
        "rest_api_enable_cors_support",
        False,
        "let pages of other origins use the HTTP end",
        flag_values=values,
    )
    # A short name of ours; the real server has the long one only.
    flags.DEFINE_alias(
        "enable_cors_support",
        "rest_api_enable_cors_support",
        flag_values=values,
    )
    flags.DEFINE_string(
        "monitoring_config_file",
        None,
        "text proto MonitoringConfig: where Prometheus finds the metrics",
        flag_values=values,
    )


def _define_own_flags(values: flags.FlagValues) -> None:
    common = {"flag_values": values}
    flags.DEFINE_string(
        "host",
        "127.0.0.1",
        "address to listen at; 0.0.0.0 lets the whole network in",
        **common,
    )
    flags.DEFINE_integer(
        "max_request_bytes",
        32 * 2**20,
        "largest request, HTTP or gRPC",
        lower_bound=1,
        upper_bound=2**31 - 1,
        **common,
    )
    flags.DEFINE_integer(
        "max_rows",
        64,
        "most rows of a request, with and without batching",
        lower_bound=1,
        **common,
    )
    flags.DEFINE_integer(
        "max_connections",
        1000,
        "most open connections of HTTP; for one more, one is closed that asks "
        "for nothing. gRPC refuses one more, and has ten times as many",
        lower_bound=1,
        **common,
    )
    flags.DEFINE_integer(
        "max_requests_per_client",
        16,
        "most requests of one address that run or wait; one more is answered "
        "with 429. All clients behind a proxy have its address",
        lower_bound=1,
        **common,
    )
    flags.DEFINE_bool("page", False, "serve the demo page at /", **common)
