"""The development server with the files of export/deploy."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping

from google.protobuf import text_format
from server_process import ROOT, Running, served
from tensorflow_serving.config import model_server_config_pb2

DEPLOY = ROOT / "export" / "deploy"


def model_config() -> model_server_config_pb2.ModelServerConfig:
    """The shipped models.pbtxt."""
    text = (DEPLOY / "models.pbtxt").read_text()
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


@contextlib.contextmanager
def deployed(
    folder: pathlib.Path, models: Mapping[str, pathlib.Path], *flags: str
) -> Iterator[Running]:
    """A server with the shipped files.

    Args:
      folder: for the configuration and the log.
      models: name -> base path; other names than the shipped ones are added.
      flags: additional flags of the server.
    """
    config = model_config()
    entries = {entry.name: entry for entry in config.model_config_list.config}
    for name, path in models.items():
        if name not in entries:
            entries[name] = config.model_config_list.config.add(
                name=name, model_platform="tensorflow"
            )
        entries[name].base_path = str(path)
    file = folder / "models.pbtxt"
    file.write_text(text_format.MessageToString(config))
    with served(
        folder / "server.log",
        f"--model_config_file={file}",
        "--enable_batching",
        f"--batching_parameters_file={DEPLOY / 'batching.pbtxt'}",
        f"--monitoring_config_file={DEPLOY / 'monitoring.pbtxt'}",
        *flags,
        model="attngan",
    ) as running:
        yield running
