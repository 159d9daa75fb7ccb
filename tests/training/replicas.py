"""One device and two replicas in one process: losses of both, as JSON.

Each stage's step is trained for two steps on a CPU that is split into two
devices. A process of its own is needed, since TensorFlow splits the CPU only
before its first operation.
"""

import json
import sys

import keras
import tensorflow as tf

from attngan_tf.benchmarking import programs
from attngan_tf.config import Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.training import (
    damsm_trainer,
    distribution,
    gan_trainer,
    loop,
)

STEPS = 2


def losses(stage: str, config: Config, data, strategy) -> list[dict]:
    """The terms of a stage's first steps."""
    keras.utils.set_random_seed(0)
    if stage == "damsm":
        batches = damsm_trainer.training_data(config, data)
        with strategy.scope():
            step = programs.fresh_damsm_step(
                config, len(data.vocabulary), batches
            )
        compiled = loop.compile_step(strategy, step)
    else:
        batches = gan_trainer.training_data(config, data)
        with strategy.scope():
            step = programs.fresh_gan_step(config, len(data.vocabulary))
        compiled = loop.compile_step(strategy, step, step.update_average)
    rows = iter(loop.distributed_batches(strategy, batches, 0))
    found = []
    for _ in range(STEPS):
        terms = compiled(next(rows))
        found.append({name: float(value) for name, value in terms.items()})
    return found


def one_update(strategy) -> list[float]:
    """A weight on each replica after gradients of 1 and 2, from 0.

    Plain descent shows the size of the summed gradient, which Adam hides.
    """
    with strategy.scope():
        weight = keras.Variable([0.0])
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build([weight])

    @tf.function(autograph=False)
    def update():
        gradient = tf.cast(distribution.replica_id() + 1, tf.float32)[None]
        distribution.apply_gradients(optimizer, [gradient], [weight])

    strategy.run(update)
    return [float(value[0]) for value in weight.value.values]


def main(fields: dict) -> dict:
    """The losses by number of replicas, and `one_update`."""
    config = Config(**fields, distribution="mirrored", virtual_devices=2)
    two = distribution.make_strategy(config)
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    data = prepared_data.read_data(builder)
    return {
        "update": one_update(two),
        **{
            stage: [losses(stage, config, data, x) for x in (one, two)]
            for stage in ("damsm", "gan")
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
