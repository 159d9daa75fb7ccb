"""python -m attngan_tf.train: from captioned pictures to a trained model."""

import dataclasses
import json
import os

import tensorflow as tf
from absl import flags

from attngan_tf import command
from attngan_tf.config import Config, UserError
from attngan_tf.data import catalog
from attngan_tf.training import assembly, checkpoint, distribution
from attngan_tf.training.damsm_stage import DamsmStage
from attngan_tf.training.gan_stage import GanStage


def train(config: Config) -> None:
    """Trains what `config.stage` says, from where the workdir stopped.

    Raises:
      UserError: the data, the workdir or the devices do not fit.
    """
    strategy = distribution.make_strategy(config)
    config = distribution.own_workdir(config, strategy)
    checkpoint.open_workdir(config)
    builder = catalog.open_configured(config)
    for line in catalog.prepare(builder).lines():
        print(line)
    if config.encoders:
        assembly.adopt_encoders(config)
    data = assembly.open_data(builder, config)
    if config.stage != "gan" and not config.encoders:
        _run(DamsmStage(config, strategy, data), config)
    if config.stage != "damsm":
        _run(GanStage(config, strategy, data), config)
        done = os.path.join(config.workdir, checkpoint.DONE_FILE)
        with open(done, "w", encoding="utf-8") as file:
            file.write("all stages are trained\n")


def _run(stage: DamsmStage | GanStage, config: Config) -> None:
    fields = json.dumps(dataclasses.asdict(config), indent=2)
    stage.log.text("configuration", f"```\n{fields}\n```")
    stage.run()
    # Networks of one stage are not kept while the next one trains.
    tf.keras.backend.clear_session()


def _next_commands(config: Config) -> str:
    workdir = config.workdir
    return f"""
trained: {workdir}. What to do next:
  python -m attngan_tf.generate --workdir={workdir} "a small red bird"
  python -m attngan_tf.evaluate --workdir={workdir}
  python -m export.saved_model --workdir={workdir} --export_dir={workdir}/export
  tensorboard --logdir={workdir}/tensorboard"""


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """The command."""
    if arguments:
        raise UserError(
            "train takes flags only; received "
            f"{' '.join(arguments)}; write --name=value"
        )
    config = command.config_from_flags(values)
    train(config)
    if config.stage != "damsm":
        print(_next_commands(config))


if __name__ == "__main__":
    command.run(command.define_config_flags, main)
