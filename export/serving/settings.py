"""What the server is told: its flags and the files they name."""

import dataclasses
import os

from absl import flags
from tensorflow_serving.config import model_server_config_pb2

from attngan_tf.config import UserError
from export.serving import text_protos

METRICS_PATH = "/monitoring/prometheus/metrics"
_PLATFORM = "tensorflow"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """A model, and which of its versions to serve.

    `newest` versions are served; or, where it is 0, the `specific` ones; or,
    where those are empty too, all.
    """

    name: str
    base_path: str
    newest: int = 1
    specific: tuple[int, ...] = ()
    labels: dict[str, int] = dataclasses.field(default_factory=dict)

    def present(self) -> dict[int, str]:
        """The folders of the versions there are, by version.

        Raises:
          OSError: the base path cannot be read.
        """
        with os.scandir(self.base_path) as entries:
            return {
                int(entry.name): entry.path
                for entry in entries
                if entry.name.isascii()
                and entry.name.isdecimal()
                and entry.is_dir()
            }

    def check_present(self) -> None:
        """Raises UserError where there is no version to serve."""
        try:
            present = self.present()
        except OSError as error:
            raise UserError(
                f"the base path of {self.name} must be a folder; {error}"
            ) from None
        if not self.wanted(set(present)):
            raise UserError(
                f"{self.base_path} must hold a version of {self.name} to "
                "serve, a folder named by a number; received "
                f"{', '.join(map(str, sorted(present))) or 'none'}"
            )

    def wanted(self, present: set[int]) -> set[int]:
        """The versions to serve, of those that are in the folder."""
        if self.newest:
            return set(sorted(present)[-self.newest :])
        return present & set(self.specific) if self.specific else present


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
    grpc_threads: int
    rest_threads: int
    max_request_bytes: int
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
    return Settings(
        models=_models(values),
        host=values.host,
        port=values.port,
        rest_api_port=values.rest_api_port,
        timeout_seconds=values.rest_api_timeout_in_ms / 1000,
        batching=_batching(values),
        metrics_path=_metrics_path(values.monitoring_config_file),
        cors=values.rest_api_enable_cors_support,
        poll_seconds=values.file_system_poll_wait_seconds,
        grpc_threads=values.grpc_max_threads,
        rest_threads=values.rest_api_num_threads,
        max_request_bytes=values.max_request_bytes,
        page=_page_folder() if values.page else None,
    )


def _models(values: flags.FlagValues) -> list[ModelSettings]:
    if bool(values.model_config_file) == bool(values.model_base_path):
        received = "both" if values.model_base_path else "neither"
        raise UserError(
            "one of --model_base_path and --model_config_file must be given; "
            f"received {received}"
        )
    if values.model_base_path:
        models = [
            ModelSettings(
                name=values.model_name,
                base_path=os.path.expanduser(values.model_base_path),
            )
        ]
    else:
        models = _models_of_file(values.model_config_file)
    for model in models:
        if not model.name or set(model.name) & set("/:"):
            raise UserError(
                "a model's name must not be empty, nor hold / or :; "
                f"received {model.name!r}"
            )
    return models


def _models_of_file(path: str) -> list[ModelSettings]:
    def wrong(rule: str) -> UserError:
        return UserError(f"--model_config_file: {rule}; in {path}")

    config = text_protos.read(
        "model_config_file", path, model_server_config_pb2.ModelServerConfig
    )
    entries = config.model_config_list.config
    if not entries:
        raise wrong("model_config_list must hold a config")
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise wrong(f"names must differ; received {', '.join(names)}")
    for entry in entries:
        if entry.model_platform != _PLATFORM:
            raise wrong(
                f'model_platform must be "{_PLATFORM}"; received '
                f'"{entry.model_platform}"'
            )
        if not entry.base_path:
            raise wrong(f"base_path is missing for {entry.name!r}")
        if entry.HasField("logging_config"):
            raise wrong("logging_config is known to the real server only")
    return [_model_of_entry(entry, wrong) for entry in entries]


def _model_of_entry(entry, wrong) -> ModelSettings:
    policy = entry.model_version_policy
    choice = policy.WhichOneof("policy_choice") or "latest"
    if choice == "specific" and not policy.specific.versions:
        raise wrong("specific needs versions; received none")
    if choice == "latest" and policy.HasField("latest"):
        newest = policy.latest.num_versions
        if not newest:
            raise wrong("num_versions must be at least 1; received 0")
    else:
        newest = int(choice == "latest")
    return ModelSettings(
        name=entry.name,
        base_path=os.path.expanduser(entry.base_path),
        newest=newest,
        specific=tuple(policy.specific.versions),
        labels=dict(entry.version_labels),
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
