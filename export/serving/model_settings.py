"""The models to serve: by flags, or by the file that describes them."""

import dataclasses
import os

from absl import flags
from tensorflow_serving.config import model_server_config_pb2

from attngan_tf.errors import UserError
from export.serving import text_protos

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
                and int(entry.name) < 2**63
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
            asked = ", ".join(map(str, self.specific))
            raise UserError(
                f"{self.base_path} must hold version {asked or '1 or higher'} "
                f"of {self.name}, a folder named by the number; received "
                f"{', '.join(map(str, sorted(present))) or 'none'}"
            )

    def wanted(self, present: set[int]) -> set[int]:
        """The versions to serve, of those that are in the folder."""
        if self.newest:
            return set(sorted(present)[-self.newest :])
        return present & set(self.specific) if self.specific else present


def read(values: flags.FlagValues) -> list[ModelSettings]:
    """The models that parsed flags and their file describe.

    Raises:
      UserError: a flag or the file is wrong.
    """
    if bool(values.model_config_file) == bool(values.model_base_path):
        received = "both" if values.model_base_path else "neither"
        raise UserError(
            "one of --model_base_path and --model_config_file must be given; "
            f"received {received}"
        )
    if not values.model_base_path:
        return read_file(values.model_config_file)
    _check_name(values.model_name)
    base_path = os.path.expanduser(values.model_base_path)
    return [ModelSettings(name=values.model_name, base_path=base_path)]


def _check_name(name: str) -> None:
    if not name or set(name) & set("/:"):
        raise UserError(
            "a model's name must not be empty, nor hold / or :; received "
            f"{name!r}"
        )


def read_file(path: str) -> list[ModelSettings]:
    """The models of a ModelServerConfig; raises UserError."""

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
        _check_name(entry.name)
        if entry.model_platform != _PLATFORM:
            raise wrong(
                f'model_platform must be "{_PLATFORM}"; received '
                f'"{entry.model_platform}"'
            )
        # The real server takes URIs, too.
        if not os.path.isabs(os.path.expanduser(entry.base_path)):
            raise wrong(
                "base_path must be a whole path, from / on; received "
                f"{entry.base_path!r} for {entry.name!r}"
            )
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
