"""What the server is told: its flags and the files they name."""

import dataclasses
import os

from absl import flags

from attngan_tf.errors import UserError
from export.serving import model_settings, text_protos
from export.serving.limits import Limits
from export.serving.model_settings import ModelSettings

METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingSettings:
    """How concurrent requests are merged; the server's own defaults."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()

    def padded(self, rows: int) -> int:
        """The smallest allowed batch that holds so many rows."""
        fitting = [size for size in self.allowed_batch_sizes if size >= rows]
        return fitting[0] if fitting else rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the server reads; see the flags."""

    models: list[ModelSettings]
    host: str
    port: int
    rest_api_port: int
    timeout_seconds: float
    batching: BatchingSettings | None
    metrics_path: str | None
    cors: bool
    poll_seconds: float
    model_config_file: str | None
    reread_seconds: float
    labels_may_wait: bool
    intra_op_threads: int
    inter_op_threads: int
    grpc_threads: int
    rest_threads: int
    limits: Limits
    max_rows: int
    page: str | None


def read(values: flags.FlagValues) -> Settings:
    """The settings that parsed flags and their files describe.

    Raises:
      UserError: a flag or a file is wrong.
    """
    if values.port and values.port == values.rest_api_port:
        raise UserError(
            "--port and --rest_api_port must differ; received "
            f"{values.port} for both"
        )
    if values.model_config_file_poll_wait_seconds and not (
        values.model_config_file
    ):
        raise UserError(
            "--model_config_file_poll_wait_seconds needs --model_config_file; "
            f"received {values.model_config_file_poll_wait_seconds} without it"
        )
    return Settings(
        models=model_settings.read(values),
        host=values.host,
        port=values.port,
        rest_api_port=values.rest_api_port,
        timeout_seconds=values.rest_api_timeout_in_ms / 1000,
        batching=_batching(values),
        metrics_path=_metrics_path(values.monitoring_config_file),
        cors=values.rest_api_enable_cors_support,
        poll_seconds=values.file_system_poll_wait_seconds,
        model_config_file=values.model_config_file,
        reread_seconds=values.model_config_file_poll_wait_seconds,
        labels_may_wait=values.allow_version_labels_for_unavailable_models,
        intra_op_threads=values.tensorflow_intra_op_parallelism,
        inter_op_threads=values.tensorflow_inter_op_parallelism,
        grpc_threads=values.grpc_max_threads,
        rest_threads=values.rest_api_num_threads,
        limits=Limits(
            request_bytes=values.max_request_bytes,
            connections=values.max_connections,
            requests=values.max_requests_per_client,
            seconds=values.rest_api_timeout_in_ms / 1000,
        ),
        max_rows=values.max_rows,
        page=_page_folder() if values.page else None,
    )


def _batching(values: flags.FlagValues) -> BatchingSettings | None:
    path = values.batching_parameters_file
    if path and not values.enable_batching:
        raise UserError(
            f"--batching_parameters_file needs --enable_batching; received "
            f"{path} without it"
        )
    if not values.enable_batching:
        return None
    if not path:
        return BatchingSettings()
    message = text_protos.read(
        "batching_parameters_file", path, text_protos.BatchingParameters
    )
    given = {
        field.name: getattr(message, field.name)
        for field, _ in message.ListFields()
    }
    sizes = tuple(given.pop("allowed_batch_sizes", ()))
    fields = {name: wrapper.value for name, wrapper in given.items()}
    batching = BatchingSettings(**fields, allowed_batch_sizes=sizes)
    _check_batching(batching, path)
    return batching


def _check_batching(batching: BatchingSettings, path: str) -> None:
    least = {"batch_timeout_micros": 0}
    for field in dataclasses.fields(batching):
        value = getattr(batching, field.name)
        if isinstance(value, int) and value < least.get(field.name, 1):
            raise UserError(
                f"--batching_parameters_file: {field.name} must be at least "
                f"{least.get(field.name, 1)}; received {value} in {path}"
            )
    sizes = batching.allowed_batch_sizes
    ascending = sizes == tuple(sorted(set(sizes))) and all(
        size > 0 for size in sizes
    )
    if sizes and not (ascending and sizes[-1] == batching.max_batch_size):
        raise UserError(
            "--batching_parameters_file: allowed_batch_sizes must ascend and "
            f"end with max_batch_size = {batching.max_batch_size}; received "
            f"{', '.join(map(str, sizes))} in {path}"
        )


def _metrics_path(path: str | None) -> str | None:
    if not path:
        return None
    config = text_protos.read(
        "monitoring_config_file", path, text_protos.MonitoringConfig
    ).prometheus_config
    if not config.enable:
        return None
    if config.path and not config.path.startswith("/"):
        raise UserError(
            "--monitoring_config_file: path must start with /; received "
            f"{config.path!r} in {path}"
        )
    return config.path or METRICS_PATH


def _page_folder() -> str:
    folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), "page")
    if not os.path.isfile(os.path.join(folder, "index.html")):
        raise UserError(
            f"--page needs the page's files; {folder} has no index.html"
        )
    return folder
