"""python -m attngan_tf.train: from captioned images to a trained model."""

import dataclasses
import json
import os
import shlex
import sys

import tensorflow as tf
from absl import flags

from attngan_tf.benchmarking import machine
from attngan_tf.cli import command, startup
from attngan_tf.cli.interruption import InterruptedTraining, Interruption
from attngan_tf.config import VOCABULARY_FILE, Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.prepared_data import Data
from attngan_tf.data.records import CaptionedImages, Report
from attngan_tf.data.views import changes_as_user_errors
from attngan_tf.errors import UserError
from attngan_tf.io.disk import writing
from attngan_tf.runs import checkpoint, workdir
from attngan_tf.training import assembly, distribution, initial_weights
from attngan_tf.training.damsm_trainer import DamsmTrainer
from attngan_tf.training.gan_trainer import GanTrainer


def train(config: Config) -> None:
    """Trains the stages of `config.stage`, resuming what the workdir has.

    Raises:
      UserError: the data, the workdir or the devices do not fit.
      InterruptedTraining: on Ctrl-C or SIGTERM, after the state is saved.
    """
    strategy = distribution.make_strategy(config)
    config = distribution.own_workdir(config, strategy)
    with (
        # After the strategy is made: MultiWorkerMirroredStrategy sets its own
        # handler of SIGTERM.
        Interruption() as interruption,
        interruption.errors_converted(),
        workdir.locked(config.workdir),
        distribution.lost_workers_reported(strategy),
        changes_as_user_errors(),
    ):
        workdir.check_owner(config)
        _warn_about_slow_precision(config)
        _train(config, strategy, interruption)


def _warn_about_slow_precision(config: Config) -> None:
    """Warns if TensorFlow must emulate bfloat16."""
    low = config.precision == "mixed_bfloat16"
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if low and not has_gpu and machine.lacks_bfloat16():
        print(
            "warning: this processor has no instructions for bfloat16; "
            "use --precision=float32 on it",
            file=sys.stderr,
        )


def _train(
    config: Config,
    strategy: tf.distribute.Strategy,
    interruption: Interruption,
) -> None:
    """Prepares the data and runs the stages."""
    builder = catalog.open_configured(config)
    report = catalog.prepare(builder)
    for line in report.lines():
        print(line)
    data = _claimed(builder, config, report)
    if config.stage != "gan" and not config.encoders:
        stage = DamsmTrainer(config, strategy, data, interruption)
        _check_encoders_unchanged(stage, config)
        _run(stage, config)
    if config.stage != "damsm":
        _run(GanTrainer(config, strategy, data, interruption), config)
        if checkpoint.exists(config.workdir, "gan"):
            workdir.mark_done(config.workdir)


def _claimed(builder: CaptionedImages, config: Config, report: Report) -> Data:
    """Opens the data, and makes the workdir this run's once all is checked."""
    new = not os.path.exists(os.path.join(config.workdir, VOCABULARY_FILE))
    if config.encoders:
        assembly.check_encoders(config)
    if config.init_from and new:
        initial_weights.check(config)
    if config.encoders and new:
        data = prepared_data.open_data(builder, config.encoders, "--encoders")
    else:
        data = prepared_data.open_data(builder, config.workdir)
    assembly.check_training_signal(config, data)
    workdir.claim_workdir(config, report.content)
    if new:
        with writing("the vocabulary", config.workdir):
            data.vocabulary.save(config.workdir)
    if config.encoders:
        assembly.adopt_encoders(config)
    return data


def _check_encoders_unchanged(stage: DamsmTrainer, config: Config) -> None:
    """Raises UserError if encoders would change after GAN training began."""
    done = stage.checkpoints.last_step()
    if done < stage.total_steps and checkpoint.exists(config.workdir, "gan"):
        raise UserError(
            f"the GAN of {config.workdir} was started with encoders of step "
            f"{done}, which must not change; received {stage.total_steps} "
            "encoder steps; train other encoders in a new --workdir, or use "
            "as many steps as before"
        )


def _run(stage: DamsmTrainer | GanTrainer, config: Config) -> None:
    fields = json.dumps(dataclasses.asdict(config), indent=2)
    stage.log.text("configuration", f"```\n{fields}\n```")
    stage.run()
    # Frees the memory of this stage's networks before the next one trains.
    tf.keras.backend.clear_session()


def _next_commands(config: Config) -> str:
    workdir, python = shlex.quote(config.workdir), sys.executable
    if config.stage == "damsm":
        return (
            f"\ntrained: the encoders of {workdir}. Run the same command with "
            "--stage=all to train the GAN"
        )
    return f"""
trained: {workdir}. Next commands:
  {python} -m attngan_tf.generate --workdir={workdir} "a small red bird"
  {python} -m attngan_tf.evaluate --workdir={workdir}
  {python} -m export.saved_model --workdir={workdir} --export_dir=models/attngan
  {python} -m tensorboard.main --logdir={workdir}/tensorboard"""


def main(values: flags.FlagValues, arguments: list[str]) -> None:
    """Runs the command."""
    if arguments:
        raise command.flags_only("train", arguments)
    config = command.config_from_flags(values)
    try:
        train(config)
    except InterruptedTraining as interrupted:
        print(str(interrupted) or startup.NOTHING_LOST, file=sys.stderr)
        return
    print(_next_commands(config))


if __name__ == "__main__":
    command.run(command.define_config_flags, main, resumable=True)
