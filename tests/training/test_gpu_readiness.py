"""Training on a GPU, as far as it can be tested without one."""

import shutil
import time
from typing import NamedTuple

import gpu_kernels
import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.cli.interruption import Interruption
from attngan_tf.data import catalog, prepared_data
from attngan_tf.data.input_pipeline import TrainingData
from attngan_tf.models import build
from attngan_tf.training import (
    damsm_trainer,
    distribution,
    gan_trainer,
    loop,
)
from attngan_tf.training.damsm_step import DamsmStep
from attngan_tf.training.damsm_trainer import DamsmTrainer
from attngan_tf.training.gan_step import GanStep
from attngan_tf.training.gan_trainer import GanTrainer

STAGES = ["damsm", "gan"]
RELEASED = {
    "gan_mismatched_pairs": True,
    "damsm_same_class_mask": True,
    "discriminator_augmentation": True,
}
INCEPTION = {"image_encoder": "inception_v3", "image_encoder_size": 75}
PROJECTED = {"discriminator": "projected", "gan_mismatched_pairs": True}
FLOAT16 = {"precision": "mixed_float16", "generator": "attndcgan"}
BFLOAT16 = {"precision": "mixed_bfloat16", "base_size": 16}
BFLOAT16 |= INCEPTION | RELEASED
PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
# Only the kernel knows the shape of what it stores for its gradient.
OPAQUE = {"FusedBatchNormV3", "CudnnRNNV3", "ZerosLike"}

needs_kernels = pytest.mark.skipif(
    not tf.test.is_built_with_cuda(),
    reason="this package of TensorFlow lists no kernels for GPUs",
)


class Program(NamedTuple):
    """The untrained step of a stage."""

    step: DamsmStep | GanStep
    compiled: loop.Step
    data: TrainingData
    strategy: tf.distribute.Strategy

    def batches(self, first_step: int = 0):
        return loop.distributed_batches(self.strategy, self.data, first_step)

    def graph(self) -> tf.Graph:
        spec = self.batches().element_spec
        return self.compiled.get_concrete_function(spec).graph


@pytest.fixture(scope="module")
def opened(tiny_config) -> prepared_data.Data:
    builder = catalog.open_configured(tiny_config())
    catalog.prepare(builder)
    return prepared_data.read_data(builder)


@pytest.fixture
def make(tiny_config, opened):
    def make(stage: str, **fields) -> Program:
        config = tiny_config(**fields)
        keras.utils.set_random_seed(0)
        encoders = (
            build.text_encoder(config, len(opened.vocabulary)),
            build.image_encoder(config, None),
        )
        if stage == "gan":
            for encoder in encoders:
                encoder.trainable = False
            data = gan_trainer.training_data(config, opened)
            step = gan_trainer.gan_step(config, *encoders)
            after = {"after_step": step.update_average}
        else:
            data = damsm_trainer.training_data(config, opened)
            step = damsm_trainer.damsm_step(
                config, *encoders, data.steps_per_epoch
            )
            after = {}
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        compiled = loop.compile_step(
            strategy, step, jit_compile=config.jit_compile, **after
        )
        return Program(step, compiled, data, strategy)

    return make


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Keras traces what it would with a GPU: cuDNN's LSTM."""
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind=None: ["GPU:0"]
    )


@needs_kernels
@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        ("damsm", {}),
        *(
            pytest.param(stage, fields, marks=pytest.mark.slow)
            for stage, fields in (
                ("gan", {}),
                ("damsm", FLOAT16),
                ("gan", FLOAT16),
                ("damsm", BFLOAT16),
                ("gan", BFLOAT16),
                ("gan", PROJECTED),
            )
        ),
    ],
)
def test_a_gpu_runs_every_operation_of_a_step(make, as_on_a_gpu, stage, fields):
    """Each has a kernel for GPUs, and almost none waits for the CPU."""
    graph = make(stage, **fields).graph()
    operations = list(gpu_kernels.operations(graph))
    types = {operation.type for operation in operations}
    assert not types & PYTHON
    assert "CudnnRNNV3" in types
    for operation in operations:
        if gpu_kernels.gpu_kernel(operation) is None:
            (text,) = operation.outputs  # the message of Keras's mask check
            assert text.dtype == tf.string
            assert {reader.type for reader in text.consumers()} <= {"Assert"}
        for tensor in gpu_kernels.host_inputs(operation):
            constant = gpu_kernels.is_constant(tensor.op)
            assert constant or not tensor.dtype.is_floating, operation.name
    for operation in gpu_kernels.copies_to_host(graph):
        # cuDNN reads lengths on the CPU, and a scaled loss is checked there.
        scaled = "mixed_float16" in fields.values() and operation.type == "If"
        assert scaled or "text_encoder" in operation.name, operation.name


@needs_kernels
@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        ("damsm", {}),
        *(
            pytest.param("gan", fields, marks=pytest.mark.slow)
            for fields in (
                RELEASED | {"precision": "mixed_float16"},
                PROJECTED,
            )
        ),
    ],
)
def test_xla_compiles_every_operation_for_a_gpu(
    make, as_on_a_gpu, stage, fields
):
    graph = make(stage, jit_compile=True, **fields).graph()
    assert not not_compiled(graph)


def not_compiled(graph: tf.Graph) -> set[str]:
    return {
        operation.type
        for operation in gpu_kernels.operations(graph)
        if gpu_kernels.kernel(operation, "XLA_GPU_JIT") is None
    }


@pytest.mark.parametrize(
    "stage", ["damsm", pytest.param("gan", marks=pytest.mark.slow)]
)
def test_shapes_are_static(make, stage):
    program = make(stage, **RELEASED)
    for spec in program.batches().element_spec.values():
        assert spec.shape.is_fully_defined()
    generated = set()
    for operation in program.graph().get_operations():
        for tensor in operation.outputs:
            if tensor.dtype.is_floating and operation.type not in OPAQUE:
                assert tensor.shape.is_fully_defined(), operation.name
            if operation.type == "Tanh" and tensor.shape[-1] == 3:
                generated.add(tuple(tensor.shape))
    images = {(4, 8, 8, 3), (4, 16, 16, 3)}
    assert generated == (images if stage == "gan" else set())


@pytest.fixture
def half_trained(tiny_workdir, tmp_path) -> str:
    """A copy of a run that has taken 4 steps."""
    shutil.copytree(tiny_workdir, tmp_path / "run")
    return str(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_traced_twice(tiny_config, opened, half_trained, stage):
    """After a checkpoint, over the ends of epochs of 3.4 and 4.8 steps."""
    config = tiny_config(
        workdir=half_trained,
        damsm_batch_size=7,
        batch_size=5,
        damsm_steps=11,
        gan_steps=11,
        sample_interval=3,
        evaluation_interval=3,
    )
    strategy = distribution.make_strategy(config)
    made = {"damsm": DamsmTrainer, "gan": GanTrainer}[stage]
    running = made(config, strategy, opened, Interruption())
    running.run()
    assert running.checkpoints.last_step() == 11
    assert traces(running.loop.train_step) == 1
    # Once for a known number of rows, once for any.
    held_out = (
        running.held_out if stage == "damsm" else running.evaluator.held_out
    )
    assert traces(held_out.text_features) <= 2
    assert traces(held_out.pooled_features) <= 2
    if stage == "damsm":
        assert traces(held_out.text_features) > 0
    else:
        captions = ["a bird", "", "a small red bird with a white belly " * 9]
        running.model.generate(captions)
        assert traces(running.model.from_seeds) == 1


def traces(function) -> int:
    return function.experimental_get_tracing_count()


class Counted:
    """Counts the batches that are made; does not prefetch."""

    batch_size = 4

    def __init__(self):
        self.made = 0

    def batches(self, first_step, part):
        del part

        def make(step):
            self.made += 1
            return step

        steps = tf.data.Dataset.range(first_step, 100)
        return steps.map(lambda i: tf.numpy_function(make, [i], tf.int64))


def test_the_next_batch_is_made_during_a_step():
    data = Counted()
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    batches = loop.distributed_batches(strategy, data, 7)
    iterator = iter(batches)
    assert int(next(iterator)) == 7
    deadline = time.monotonic() + 20
    while data.made < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert data.made >= 2
    assert int(next(iterator)) == 8


def weights_after_two_steps(program: Program) -> list[np.ndarray]:
    for batch, _ in zip(program.batches(), range(2), strict=False):
        program.compiled(batch)
    return all_weights(program.step)


def all_weights(step) -> list[np.ndarray]:
    networks = [step.text_encoder, step.image_encoder]
    if isinstance(step, GanStep):
        networks += [step.generator, step.average]
        networks += step.discriminators.values()
    return [w.numpy() for network in networks for w in network.weights]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "fields"),
    [("damsm", {}), ("gan", {}), ("gan", PROJECTED)],
    ids=["damsm", "gan", "projected"],
)
def test_xla_gives_the_same_weights(make, stage, fields):
    """To rounding: differences of up to 1e-2 of the largest step.

    A gradient of almost 0 may have either sign, and so has Adam's step.
    """
    begun = all_weights(make(stage, **fields).step)
    plain = weights_after_two_steps(make(stage, **fields))
    compiled = weights_after_two_steps(make(stage, jit_compile=True, **fields))
    for start, one, other in zip(begun, plain, compiled, strict=True):
        bound = 1e-2 * np.abs(one - start).max() + 1e-6 * np.abs(one).max()
        off = np.sum(np.abs(one - other) > bound)
        assert off <= max(1, 0.01 * one.size), one.shape
    assert any(np.any(a != b) for a, b in zip(begun, plain, strict=True))
