"""Commands: flags made from `Config`, and errors in one line."""

import dataclasses
import logging
import os
import re
import signal
import sys
import typing
from collections.abc import Callable, Mapping, Sequence

from absl import app, flags
from absl import logging as absl_logging

from attngan_tf.cli import startup
from attngan_tf.config import Config
from attngan_tf.errors import UserError, printable
from attngan_tf.options import plain_type

# Starts of the messages of int() and float() for invalid text, and the rule
# that is printed instead.
NUMBERS = {
    "invalid literal for int()": "a whole number",
    "could not convert string to float": "a number",
}
DEFINE = {  # by the type of a field
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def define_config_flags(values: flags.FlagValues) -> None:
    """Defines a flag for every field of `Config`."""
    for field in dataclasses.fields(Config):
        name, default = field.name, field.default
        choices, help_text = field.metadata["choices"], field.metadata["help"]
        if choices:
            flags.DEFINE_enum(
                name, default, list(choices), help_text, flag_values=values
            )
        else:
            kind, _ = plain_type(field.type)
            DEFINE[kind](name, default, help_text, flag_values=values)


def define_model_flags(values: flags.FlagValues) -> None:
    """Defines the flags that choose a trained model."""
    common = {"flag_values": values}
    flags.DEFINE_string("workdir", None, "folder of a training run", **common)
    flags.DEFINE_string(
        "checkpoint",
        "last",
        "checkpoint of the GAN: last, best, or the number of a step",
        **common,
    )
    flags.DEFINE_alias("step", "checkpoint", **common)


def define_seed_flag(
    values: flags.FlagValues, default: int | None, help_text: str
) -> None:
    """Defines --seed, the seed of the first image's noise."""
    flags.DEFINE_integer(
        "seed",
        default,
        help_text,
        lower_bound=0,
        upper_bound=2**53,
        flag_values=values,
    )


def check_alone(
    values: flags.FlagValues, alone: Mapping[str, Sequence[str]]
) -> None:
    """Raises UserError if flags are given together that exclude each other.

    Args:
      values: the parsed flags.
      alone: names of flags, and for each the flags that it excludes.
    """
    given = {
        name
        for name in values
        if values[name].present and values[name].value not in (None, False)
    }
    for name, others in alone.items():
        for other in others:
            if {name, other} <= given:
                raise UserError(
                    f"--{name} must be used without --{other}; received both; "
                    "remove one"
                )


def check_workdir(values: flags.FlagValues) -> None:
    """Raises UserError if no --workdir was given."""
    if not values.workdir:
        raise UserError(
            "--workdir must be the folder of a training run; received none"
        )


def config_from_flags(values: flags.FlagValues) -> Config:
    """The configuration of parsed flags; raises as `Config` does."""
    fields = {
        field.name: values[field.name].value
        for field in dataclasses.fields(Config)
    }
    for name in ("workdir", "encoders"):  # bash does not expand --flag=~/x
        fields[name] = os.path.expanduser(fields[name])
    return Config(**fields)


def run(
    define: Callable[[flags.FlagValues], None],
    main: Callable[[flags.FlagValues, list[str]], None],
    *,
    resumable: bool = False,
) -> None:
    """Runs a command; a user error prints one line and exits with code 1.

    Ctrl-C and SIGTERM raise KeyboardInterrupt, so that unfinished files are
    removed; then one line is printed, and the exit code is 128 + the signal's
    number.

    Args:
      define: defines the command's flags on the given values.
      main: does the work; takes the parsed flags and the other arguments.
      resumable: whether running the command again resumes an interrupted run;
        the exit code of an interrupted run is then 0.
    """
    define(flags.FLAGS)
    # By default, --help lists only the flags of the command's own module.
    for flag in flags.FLAGS.flags_by_module_dict().get(__name__, []):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)

    app.run(lambda argv: _run_main(main, argv, resumable), flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
    """Parses flags; an error ends the command."""
    try:
        return flags.FLAGS(argv)
    except UnicodeDecodeError as error:
        _fail(f"--flagfile must be a text file; {error}")
    except flags.CantOpenFlagFileError as error:
        reason = error.__context__  # the OSError
        _fail(
            "--flagfile must be a file that can be read; received "
            f"{reason.filename}: {reason.strerror}"
        )
    # absl raises ValueError for --noname=value.
    except (flags.Error, ValueError) as error:
        _fail(_plain(str(error)))


def _run_main(main: Callable, argv: Sequence[str], resumable: bool) -> None:
    """Runs a command's main function; see `run`."""
    signals = []  # that were received

    def interrupt(number, frame):
        del frame
        signals.append(number)
        raise KeyboardInterrupt

    try:
        startup.started()
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, interrupt)
        _quiet()
        main(flags.FLAGS, list(argv[1:]))
    except (Exception, KeyboardInterrupt) as error:
        if signals:  # libraries may replace KeyboardInterrupt by their errors
            line = startup.NOTHING_LOST if resumable else "interrupted"
            print(line, file=sys.stderr)
            sys.exit(0 if resumable else 128 + signals[0])
        if isinstance(error, UserError):
            _fail(error)
        raise


def _plain(message: str) -> str:
    """A message of absl, in which Python's text about numbers is replaced."""
    for python, rule in NUMBERS.items():
        pattern = rf"flag --(\w+)=(.*): {re.escape(python)}.*"
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return f"--{found[1]} must be {rule}; received {found[2]!r}"
    return message


def _quiet() -> None:
    """Silences TensorFlow's messages about each file that it writes.

    Importing TensorFlow also sets the verbosity of absl to 0 (info).
    """
    if not flags.FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.WARNING)
        logging.getLogger("tensorflow").setLevel(logging.WARNING)


def flags_only(name: str, arguments: list[str]) -> UserError:
    """The error for arguments of a command that takes flags only."""
    return UserError(
        f"{name} takes flags only; received {' '.join(arguments)}; write "
        "--name=value"
    )


def _fail(error: Exception | str) -> typing.NoReturn:
    line = printable(" ".join(str(error).split()))
    print(f"error: {line}", file=sys.stderr)
    sys.exit(1)
