"""Commands: the flags made from `Config`, and how a command ends."""

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

# What int() and float() say of other text, and the rule that it breaks.
NUMBERS = {
    "invalid literal for int()": "a whole number",
    "could not convert string to float": "a number",
}


def define_config_flags(values: flags.FlagValues) -> None:
    """Defines a flag for every field of `Config`."""
    for field in dataclasses.fields(Config):
        kind, _ = plain_type(field.type)
        rule = field.metadata
        common = {"flag_values": values}
        if rule["choices"]:
            flags.DEFINE_enum(
                field.name,
                field.default,
                list(rule["choices"]),
                rule["help"],
                **common,
            )
        elif kind is bool:
            flags.DEFINE_bool(field.name, field.default, rule["help"], **common)
        elif kind is int:
            flags.DEFINE_integer(
                field.name, field.default, rule["help"], **common
            )
        elif kind is float:
            flags.DEFINE_float(
                field.name, field.default, rule["help"], **common
            )
        else:
            flags.DEFINE_string(
                field.name, field.default, rule["help"], **common
            )


def define_model_flags(values: flags.FlagValues) -> None:
    """Defines the flags that name a trained model."""
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
    """Defines --seed, of noise: others are counted up from it."""
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
    """Raises UserError where flags stand together that must not.

    Args:
      values: parsed.
      alone: flags, and those that mean nothing beside each.
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
                    f"--{name} must stand without --{other}; received both; "
                    "leave one out"
                )


def check_workdir(values: flags.FlagValues) -> None:
    """Raises UserError if no --workdir was named."""
    if not values.workdir:
        raise UserError(
            "--workdir must name the folder of a training run; received none"
        )


def config_from_flags(values: flags.FlagValues) -> Config:
    """The configuration that parsed flags describe; raises UserError."""
    fields = {
        field.name: values[field.name].value
        for field in dataclasses.fields(Config)
    }
    for name in ("workdir", "encoders"):  # bash leaves the ~ of --flag=~/x
        fields[name] = os.path.expanduser(fields[name])
    return Config(**fields)


def run(
    define: Callable[[flags.FlagValues], None],
    main: Callable[[flags.FlagValues, list[str]], None],
    *,
    goes_on: bool = False,
) -> None:
    """Runs a command: a user's mistake ends in one line and exit code 1.

    Ctrl-C and SIGTERM raise KeyboardInterrupt, so that what is being written
    is removed, and end it in one line with exit code 128 + their number.

    Args:
      define: defines the command's flags on the given values.
      main: does the work; takes the parsed flags and the other arguments.
      goes_on: whether a second run goes on where an interrupted one ended,
        which then ends with exit code 0.
    """
    define(flags.FLAGS)
    # --help lists the flags of the command's own module only.
    for flag in flags.FLAGS.flags_by_module_dict().get(__name__, []):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)

    def parse(argv):
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

    signals = []  # that came

    def interrupt(number, frame):
        del frame
        signals.append(number)
        raise KeyboardInterrupt

    def body(argv):
        try:
            startup.started()
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, interrupt)
            _quiet()
            main(flags.FLAGS, argv[1:])
        except (Exception, KeyboardInterrupt) as error:
            if signals:  # libraries may make an error of their own of it
                said = startup.NOTHING_LOST if goes_on else "interrupted"
                print(said, file=sys.stderr)
                sys.exit(0 if goes_on else 128 + signals[0])
            if isinstance(error, UserError):
                _fail(error)
            raise

    app.run(body, flags_parser=parse)


def _plain(message: str) -> str:
    """The message of absl, without Python's words about numbers."""
    for python, rule in NUMBERS.items():
        pattern = rf"flag --(\w+)=(.*): {re.escape(python)}.*"
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return f"--{found[1]} must be {rule}; received {found[2]!r}"
    return message


def _quiet() -> None:
    """Without what TensorFlow tells of each file it writes.

    Importing it makes absl, too, as talkative as --verbosity=0.
    """
    if not flags.FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.WARNING)
        logging.getLogger("tensorflow").setLevel(logging.WARNING)


def flags_only(name: str, arguments: list[str]) -> UserError:
    """The error of a command that takes flags only and was given more."""
    return UserError(
        f"{name} takes flags only; received {' '.join(arguments)}; write "
        "--name=value"
    )


def _fail(error: Exception | str) -> typing.NoReturn:
    line = printable(" ".join(str(error).split()))
    print(f"error: {line}", file=sys.stderr)
    sys.exit(1)
