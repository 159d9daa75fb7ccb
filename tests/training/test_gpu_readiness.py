"""Training on a GPU, as far as it can be tested without one."""

import shutil
import time

import gpu_kernels
import keras
import numpy as np
import pytest
import tensorflow as tf

from attngan_tf.benchmarking import programs
from attngan_tf.cli.interruption import Interruption
from attngan_tf.training import (
    damsm_trainer,
    distribution,
    gan_trainer,
    loop,
)
from attngan_tf.training.damsm_trainer import DamsmTrainer
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


@pytest.fixture
def make(tiny_config, tiny_data):
    """The benchmark's program of a stage, untrained."""

    def make(stage: str, **fields) -> programs.Program:
        keras.utils.set_random_seed(0)
        program = {"damsm": programs.train_damsm, "gan": programs.train}[stage]
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        return program(tiny_config(**fields), strategy, tiny_data)

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
def test_shapes_are_static(make, tiny_config, tiny_data, stage):
    program = make(stage, **RELEASED)
    trainer = {"damsm": damsm_trainer, "gan": gan_trainer}[stage]
    data = trainer.training_data(tiny_config(**RELEASED), tiny_data)
    for spec in data.whole_batches().element_spec.values():
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


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_traced_twice(
    tiny_config, tiny_data, tiny_workdir, tmp_path, stage
):
    """After a checkpoint, over the ends of epochs of 3.4 and 4.8 steps."""
    shutil.copytree(tiny_workdir, tmp_path / "run")
    config = tiny_config(
        workdir=str(tmp_path / "run"),
        damsm_batch_size=7,
        batch_size=5,
        damsm_steps=11,
        gan_steps=11,
        sample_interval=3,
        evaluation_interval=3,
    )
    strategy = distribution.make_strategy(config)
    made = {"damsm": DamsmTrainer, "gan": GanTrainer}[stage]
    running = made(config, strategy, tiny_data, Interruption())
    running.run()
    assert running.checkpoints.last_step() == 11
    assert traces(running.loop.train_step) == 1
    # Once for a known number of rows, once for any.
    held_out = (
        running.held_out if stage == "damsm" else running.evaluator.held_out
    )
    assert traces(held_out._sentence_features) <= 2
    assert traces(held_out._pooled_features) <= 2
    if stage == "damsm":
        assert traces(held_out._sentence_features) > 0
    else:
        captions = ["a bird", "", "a small red bird with a white belly " * 9]
        running.model.images(captions)
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


def weights(program: programs.Program) -> list[np.ndarray]:
    return [
        weight.numpy()
        for networks in program.networks.values()
        for network in networks
        for weight in network.weights
    ]


def weights_after_two_steps(program: programs.Program) -> list[np.ndarray]:
    program.call()
    program.call()
    return weights(program)


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
    begun = weights(make(stage, **fields))
    plain = weights_after_two_steps(make(stage, **fields))
    compiled = weights_after_two_steps(make(stage, jit_compile=True, **fields))
    for start, one, other in zip(begun, plain, compiled, strict=True):
        bound = 1e-2 * np.abs(one - start).max() + 1e-6 * np.abs(one).max()
        off = np.sum(np.abs(one - other) > bound)
        assert off <= max(1, 0.01 * one.size), one.shape
    assert any(np.any(a != b) for a, b in zip(begun, plain, strict=True))
