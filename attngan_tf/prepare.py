"""python -m attngan_tf.prepare: from raw data to a prepared data set."""

from absl import flags

from attngan_tf.cli import command
from attngan_tf.data import catalog
from attngan_tf.data.prepared_data import Data, read_data
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


def long_captions(data: Data, words_num: int) -> list[str]:
    """The captions of both splits with more than `words_num` words."""
    found = []
    for split in (data.train, data.test):
        for captions, _ in split.labels():
            texts = captions.flat_values.numpy()
            ids = data.vocabulary.known_ids(captions.flat_values)
            found.extend(texts[ids.row_lengths().numpy() > words_num])
    return [text.decode() for text in found]


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
    T = config.words_num_test
    if found := long_captions(read_data(builder), T):
        example = found[0][:60] + "..." * (len(found[0]) > 60)
        print(
            f"captions of more than {T} words (--words_num_test), whose "
            f"further words a trained model ignores: {len(found)} "
            f"({printable(repr(example))})"
        )


if __name__ == "__main__":
    command.run(define_flags, main)
