"""Encoder steps of one device and of two replicas in one process, as JSON.

A process of its own is needed, since TensorFlow splits the CPU into two devices
only before its first operation.
"""

import json
import sys

import keras
import tensorflow as tf

from attngan_tf.benchmarking import programs
from attngan_tf.config import Config
from attngan_tf.data import catalog, prepared_data
from attngan_tf.training import damsm_trainer, distribution, loop

STEPS = 2


def losses(config: Config, data, strategy) -> list[dict]:
    """The terms of the first steps."""
    keras.utils.set_random_seed(0)
    batches = damsm_trainer.training_data(config, data)
    with strategy.scope():
        encoders = programs.fresh_encoders(config, data)
        step = damsm_trainer.damsm_step(
            config, *encoders, batches.steps_per_epoch
        )
    compiled = loop.compile_step(strategy, step)
    rows = iter(loop.distributed_batches(strategy, batches, 0))
    return [
        {name: float(value) for name, value in compiled(next(rows)).items()}
        for _ in range(STEPS)
    ]


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
    """The losses of one device and of two, and `one_update`."""
    config = Config(**fields, distribution="mirrored", virtual_devices=2)
    two = distribution.make_strategy(config)
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    builder = catalog.open_configured(config)
    catalog.prepare(builder)
    data = prepared_data.read_data(builder)
    return {
        "update": one_update(two),
        "losses": [losses(config, data, strategy) for strategy in (one, two)],
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
