"""The server's settings: its flags and the files they name."""

import dataclasses
import itertools
import os

from absl import flags

from attngan_tf.errors import UserError
from export.serving import model_settings, text_protos
from export.serving.model_settings import ModelSettings
from export.serving.server_flags import Flags

METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingSettings:
    """How concurrent requests are merged, with the real server's defaults."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()

    def padded(self, rows: int) -> int:
        """The smallest allowed batch size of at least `rows`, or `rows`."""
        fitting = [size for size in self.allowed_batch_sizes if size >= rows]
        return fitting[0] if fitting else rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Flags):
    """The flags, and what the files that they name describe."""

    models: list[ModelSettings]
    batching: BatchingSettings | None
    metrics_path: str | None


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
    names = [field.name for field in dataclasses.fields(Flags)]
    return Settings(
        models=model_settings.read(values),
        batching=_batching(values),
        metrics_path=_metrics_path(values.monitoring_config_file),
        **{name: values[name].value for name in names},
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
    sizes = tuple(message.allowed_batch_sizes)
    fields = {
        field.name: getattr(message, field.name).value
        for field, _ in message.ListFields()
        if field.name not in ("allowed_batch_sizes", "thread_pool_name")
    }
    batching = BatchingSettings(**fields, allowed_batch_sizes=sizes)
    ends = (0, *(sizes or [batching.max_batch_size]))
    ascending = all(a < b for a, b in itertools.pairwise(ends))
    if (
        not ascending
        or ends[-1] != batching.max_batch_size
        or min(batching.num_batch_threads, batching.max_enqueued_batches) < 1
    ):
        raise UserError(
            "--batching_parameters_file: numbers must be positive, and "
            "allowed_batch_sizes must ascend and end with max_batch_size; "
            f"received {' '.join(str(message).split())} in {path}"
        )
    return batching


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
