"""python -m export.serve: a development server for exported models.

It takes the flags of tensorflow_model_server and sends the same answers, for
machines without TensorFlow Serving.
"""

import importlib
import os
import shlex
import sys

from absl import flags

from attngan_tf.cli import command
from attngan_tf.errors import UserError, install_command
from export.serving import console, ports, settings
from export.serving.server_flags import OWN_FLAGS, define_flags

_PATHS = (
    "model_base_path",
    "model_config_file",
    "batching_parameters_file",
    "monitoring_config_file",
)


def real_command(values: flags.FlagValues) -> str:
    """The shell command that starts the real server with the given flags."""
    known = flags.FlagValues()
    define_flags(known)
    given = {
        name: values[name].value
        for name in known
        if values[name].present and name not in OWN_FLAGS
    }
    for name in ("port", "rest_api_port"):  # there, 0 turns it off
        given[name] = values[name].value or known[name].default
    for name in _PATHS:
        if name in given:
            given[name] = os.path.abspath(os.path.expanduser(given[name]))
    arguments = [
        f"--{name}={str(x).lower() if isinstance(x, bool) else x}"
        for name, x in given.items()
    ]
    return shlex.join(["tensorflow_model_server", *arguments])


def _check_installed() -> None:
    for name in ("grpc", "orjson", "waitress"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                "export.serve needs the packages of the extra `serve`; "
                f"received {error}; run {install_command('serve')}"
            ) from None


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    if arguments:
        raise command.flags_only("export.serve", arguments)
    _check_installed()
    configured = settings.read(values)
    for model in configured.models:
        model.check_present()
    for flag in ("port", "rest_api_port"):
        ports.bind(flag, configured.host, values[flag].value).close()
    console.report(
        "This is a development server. In production, use TensorFlow Serving "
        f"(see export/deploy/README.md):\n  {real_command(values)}"
    )
    # TensorFlow takes seconds to import: user errors are reported before.
    from export.serving import server

    server.serve(configured)
    sys.stdout.flush()
    os._exit(0)  # threads that load a model would delay the exit


if __name__ == "__main__":
    command.run(define_flags, main)
