"""The server's settings: its flags and the files they name."""

import dataclasses
import os

from absl import flags

from attngan_tf.config import UserError
from export.serving import model_settings, text_protos
from export.serving.model_settings import ModelSettings

METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingSettings:
    """How concurrent requests are merged; the real server's defaults."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()

    def padded(self, rows: int) -> int:
        """The smallest allowed batch with room for so many rows."""
        fitting = [size for size in self.allowed_batch_sizes if size >= rows]
        return fitting[0] if fitting else rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What the files describe, and then the flags of the same names."""

    models: list[ModelSettings]
    batching: BatchingSettings | None
    metrics_path: str | None
    host: str
    port: int
    rest_api_port: int
    rest_api_timeout_in_ms: int
    rest_api_enable_cors_support: bool
    page: bool
    max_request_bytes: int
    max_rows: int
    model_config_file: str | None
    model_config_file_poll_wait_seconds: int
    allow_version_labels_for_unavailable_models: bool
    tensorflow_intra_op_parallelism: int


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
    for flag, needed in (
        ("model_config_file_poll_wait_seconds", "model_config_file"),
        ("batching_parameters_file", "enable_batching"),
    ):
        if values[flag].value and not values[needed].value:
            raise UserError(
                f"--{flag} needs --{needed}; received {values[flag].value} "
                "without it"
            )
    names = {field.name for field in dataclasses.fields(Settings)}
    return Settings(
        models=model_settings.read(values),
        batching=_batching(values),
        metrics_path=_metrics_path(values.monitoring_config_file),
        **{name: values[name].value for name in names & set(values)},
    )


def _batching(values: flags.FlagValues) -> BatchingSettings | None:
    if not values.enable_batching:
        return None
    path = values.batching_parameters_file
    if not path:
        return BatchingSettings()
    message = text_protos.read(
        "batching_parameters_file", path, text_protos.BatchingParameters
    )
    fields = {
        field.name: getattr(message, field.name).value
        for field, _ in message.ListFields()
        if field.name not in ("allowed_batch_sizes", "thread_pool_name")
    }
    sizes = tuple(message.allowed_batch_sizes)
    batching = BatchingSettings(**fields, allowed_batch_sizes=sizes)
    if fault := _batching_fault(batching):
        raise UserError(f"--batching_parameters_file: {fault} in {path}")
    return batching


def _batching_fault(batching: BatchingSettings) -> str:
    """What is wrong with the parameters; empty: nothing."""
    for name, value in dataclasses.asdict(batching).items():
        low = int(name != "batch_timeout_micros")
        if isinstance(value, int) and value < low:
            return f"{name} must be at least {low}; received {value}"
    sizes = batching.allowed_batch_sizes
    ascending = sizes == tuple(sorted({size for size in sizes if size > 0}))
    if sizes and not (ascending and sizes[-1] == batching.max_batch_size):
        return (
            "allowed_batch_sizes must ascend and end with max_batch_size = "
            f"{batching.max_batch_size}; received {', '.join(map(str, sizes))}"
        )
    return ""


def _metrics_path(path: str | None) -> str | None:
    if not path:
        return None
    config = text_protos.read(
        "monitoring_config_file", path, text_protos.MonitoringConfig
    ).prometheus_config
    if config.path and not config.path.startswith("/"):
        raise UserError(
            "--monitoring_config_file: path must start with /; received "
            f"{config.path!r} in {path}"
        )
    return (config.path or METRICS_PATH) if config.enable else None
