"""The models to serve: from flags, or from the file that describes them."""

import dataclasses
import os

from absl import flags
from tensorflow_serving.config import model_server_config_pb2

from attngan_tf.errors import UserError
from export.serving import text_protos


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """A model, and which of its versions to serve.

    The `newest` highest versions are served; if it is 0, the `specific` ones;
    if those are empty, too, all.
    """

    name: str
    base_path: str
    newest: int = 1
    specific: tuple[int, ...] = ()
    labels: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not self.name or set(self.name) & set("/:"):
            raise UserError(
                "a model's name must not be empty or contain / or :; received "
                f"{self.name!r}"
            )

    def present(self) -> dict[int, str]:
        """The versions' folders, by version; raises OSError."""
        with os.scandir(self.base_path) as entries:
            return {
                int(entry.name): entry.path
                for entry in entries
                if entry.name.isascii()
                and entry.name.isdecimal()
                and int(entry.name) < 2**63
                and entry.is_dir()
            }

    def wanted(self, present: set[int]) -> set[int]:
        """The versions to serve, out of those in the folder."""
        if self.newest:
            return set(sorted(present)[-self.newest :])
        return present & set(self.specific) if self.specific else present

    def check_present(self) -> None:
        """Raises UserError if there is no version to serve."""
        try:
            present = self.present()
        except OSError as error:
            raise UserError(
                f"the base path of {self.name} must be a folder; {error}"
            ) from None
        if not self.wanted(set(present)):
            asked = ", ".join(map(str, self.specific)) or "1 or higher"
            raise UserError(
                f"{self.base_path} must hold version {asked} of {self.name}, a "
                "folder named by the number; received "
                f"{', '.join(map(str, sorted(present))) or 'none'}"
            )


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
    if values.model_config_file:
        return read_file(values.model_config_file)
    base_path = os.path.expanduser(values.model_base_path)
    return [ModelSettings(name=values.model_name, base_path=base_path)]


def read_file(path: str) -> list[ModelSettings]:
    """The models of a ModelServerConfig; raises UserError."""
    config = text_protos.read(
        "model_config_file", path, model_server_config_pb2.ModelServerConfig
    )
    try:
        models = [_model(x) for x in config.model_config_list.config]
        if not models or len({model.name for model in models}) < len(models):
            raise UserError(
                "model_config_list must hold configs of different names; "
                f"received {', '.join(x.name for x in models) or 'none'}"
            )
    except UserError as error:
        raise UserError(f"--model_config_file: {error}; in {path}") from None
    return models


def _model(entry) -> ModelSettings:
    # What the real server would refuse, and what it would take as a URI.
    if entry.model_platform != "tensorflow":
        raise UserError(
            'model_platform must be "tensorflow"; received '
            f'"{entry.model_platform}"'
        )
    base_path = os.path.expanduser(entry.base_path)
    if not os.path.isabs(base_path):
        raise UserError(
            f"base_path must be absolute; received {entry.base_path!r}"
        )
    policy = entry.model_version_policy
    choice = policy.WhichOneof("policy_choice") or "latest"
    newest = policy.latest.num_versions or 1
    return ModelSettings(
        name=entry.name,
        base_path=base_path,
        newest=newest if choice == "latest" else 0,
        specific=tuple(policy.specific.versions),
        labels=dict(entry.version_labels),
    )
