"""python -m attngan_tf.prepare: from raw data to a prepared data set."""

from absl import flags

from attngan_tf import command
from attngan_tf.data import catalog
from attngan_tf.options import printable


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command; takes the flags of training, so that its flagfiles fit."""
    if arguments:
        raise command.flags_only("prepare", arguments)
    config = command.config_from_flags(values)
    builder = catalog.open_configured(config)
    report = catalog.prepare(builder, repair=True)
    print(f"prepared: {printable(builder.data_dir)}")
    for line in report.lines():
        print(line)


if __name__ == "__main__":
    command.run(command.define_config_flags, main)
