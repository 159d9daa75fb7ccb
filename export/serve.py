"""python -m export.serve: a local stand-in for tensorflow_model_server."""

import os
import shlex

from absl import flags

from attngan_tf.cli import command
from export.serving import allocator, console, ports, settings
from export.serving.server_flags import define_flags
from export.serving.settings import Settings

FILE_FLAGS = (
    "model_config_file",
    "batching_parameters_file",
    "monitoring_config_file",
)
OWN_FLAGS = (
    "host",
    "max_request_bytes",
    "max_rows",
    "max_connections",
    "max_requests_per_client",
    "page",
    "enable_cors_support",
)
# The image's entry point sets these.
IMAGE_FLAGS = ("model_name", "model_base_path", "port", "rest_api_port")


def real_flags(values: flags.FlagValues, configured: Settings) -> list[str]:
    """The flags given that the real server knows, with absolute paths."""
    known = flags.FlagValues()
    define_flags(known)
    given = {
        name: values[name].value
        for name in known
        if values[name].present and name not in OWN_FLAGS
    }
    # Port 0 is no port to the real server.
    given["port"] = configured.port or known["port"].default
    given["rest_api_port"] = (
        configured.rest_api_port or known["rest_api_port"].default
    )
    for name in FILE_FLAGS:
        if name in given:
            given[name] = os.path.abspath(os.path.expanduser(given[name]))
    if "model_base_path" in given:
        given["model_base_path"] = os.path.abspath(
            configured.models[0].base_path
        )
    return [
        f"--{name}={str(value).lower() if value in (True, False) else value}"
        for name, value in given.items()
    ]


def real_commands(values: flags.FlagValues, configured: Settings) -> list[str]:
    """Shell commands that start the real server: in Docker, and installed."""
    arguments = real_flags(values, configured)
    by_name = dict(text[2:].split("=", 1) for text in arguments)
    docker = ["docker", "run", "--rm"]
    host = ports.number_of(configured.host)  # Docker knows no names
    for name, inside in (("port", 8500), ("rest_api_port", 8501)):
        outside = ports.address(host, int(by_name[name]))
        docker += ["-p", f"{outside}:{inside}"]
    # A file that is written anew would stay the old one in a container.
    folders = [
        os.path.dirname(by_name[name]) for name in FILE_FLAGS if name in by_name
    ]
    mounts = {folder: folder for folder in folders}
    if "model_base_path" in by_name:
        model = configured.models[0].name
        docker += ["-e", f"MODEL_NAME={model}"]
        mounts[by_name["model_base_path"]] = f"/models/{model}"
    else:
        bases = [os.path.abspath(x.base_path) for x in configured.models]
        mounts |= {base: base for base in bases}
    for outside, inside in mounts.items():
        docker += ["-v", f"{outside}:{inside}:ro"]
    docker += ["tensorflow/serving"]
    docker += [
        text for text in arguments if text[2:].split("=")[0] not in IMAGE_FLAGS
    ]
    return [
        shlex.join(docker),
        shlex.join(["tensorflow_model_server", *arguments]),
    ]


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command."""
    if arguments:
        raise command.flags_only("serve", arguments)
    configured = settings.read(values)
    for model in configured.models:
        model.check_present()
    for flag in ("port", "rest_api_port"):
        ports.bind(flag, configured.host, values[flag].value).close()
    console.tell(
        "This is a stand-in for a machine without TensorFlow Serving. In "
        "production use the real server:\n  "
        + "\n  ".join(real_commands(values, configured))
    )
    allocator.share_arenas()
    # TensorFlow takes seconds to import: a wrong flag is told before.
    from export.serving import server

    if unfinished := server.serve(configured):
        console.tell(unfinished)
        os._exit(0)  # its threads would keep the process


if __name__ == "__main__":
    command.run(define_flags, main)
