"""python -m attngan_tf.prepare: from raw data to a prepared data set."""

from absl import flags

from attngan_tf.cli import command
from attngan_tf.data import catalog
from attngan_tf.errors import printable


def define_flags(values: flags.FlagValues) -> None:
    """Defines --beam_options and all flags of training, for its flagfiles."""
    command.define_config_flags(values)
    flags.DEFINE_string(
        "beam_options",
        "",
        "flags of Apache Beam in one string, such as --runner=FlinkRunner; "
        "the workers of the Beam job then read the images, and the runner may "
        "use the network; empty: this process reads them",
        flag_values=values,
    )


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    if arguments:
        raise command.flags_only("prepare", arguments)
    config = command.config_from_flags(values)
    builder = catalog.open_configured(config)
    if builder.layout:
        print(f"layout: {printable(builder.layout)}")
    report = catalog.prepare(
        builder, repair=True, beam_options=values.beam_options
    )
    print(f"prepared: {printable(builder.data_dir)}")
    for line in report.lines():
        print(line)


if __name__ == "__main__":
    command.run(define_flags, main)
