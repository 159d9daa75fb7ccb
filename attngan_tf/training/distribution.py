"""Devices, and communication between replicas and workers."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from attngan_tf.config import Config
from attngan_tf.errors import UserError
from attngan_tf.training.rendezvous import wait_for_all


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """The strategy of a configuration, for training.

    `auto` uses all GPUs, or the CPU, whole or split by --virtual_devices.

    Raises:
      UserError: the devices do not fit the configuration.
    """
    if config.intra_op_threads:
        _set_threads(config.intra_op_threads)
    strategy = devices(config)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    check_replicas(config, strategy.num_replicas_in_sync, has_gpu)
    return strategy


def devices(config: Config) -> tf.distribute.Strategy:
    """As `make_strategy`, but accepts any number of replicas (evaluation)."""
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if config.precision == "mixed_float16" and not has_gpu:
        raise UserError(
            "--precision=mixed_float16 needs a GPU; found none; use "
            "mixed_bfloat16 or float32 on a CPU"
        )
    if config.distribution == "multi_worker":
        return _multi_worker()
    # This initializes TensorFlow's devices; a cluster must be set up before.
    gpus = tf.config.list_logical_devices("GPU") if has_gpu else []
    names = [gpu.name for gpu in gpus] or _cpus(config.virtual_devices)
    if config.distribution == "one_device":
        names = names[:1]
    if config.distribution == "mirrored" or len(names) > 1:
        return tf.distribute.MirroredStrategy(names)
    return tf.distribute.OneDeviceStrategy(names[0])


def _set_threads(threads: int) -> None:
    """Sets the number of threads that one operation uses."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:  # TensorFlow already runs
        raise UserError(
            f"--intra_op_threads={threads} must be set before TensorFlow "
            f"starts: {error}"
        ) from None


def _cpus(count: int) -> list[str]:
    """Names of the CPU devices: `count` virtual ones, or one if that is 0."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if count:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        try:
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError as error:  # TensorFlow already runs
            if len(tf.config.list_logical_devices("CPU")) != count:
                raise UserError(
                    f"--virtual_devices={count} must be set before "
                    f"TensorFlow starts: {error}"
                ) from None
    found = tf.config.list_logical_devices("CPU")
    return [device.name for device in found[: max(1, count)]]


def _multi_worker() -> tf.distribute.Strategy:
    """The strategy for TF_CONFIG's cluster, once all its workers answer."""
    if not os.environ.get("TF_CONFIG"):
        raise UserError(
            "--distribution=multi_worker reads the cluster from the "
            "environment variable TF_CONFIG; received none; set it on every "
            "worker"
        )
    received = f"received {os.environ['TF_CONFIG']!r}"
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        cluster = resolver.cluster_spec()
        if resolver.task_type not in ("worker", "chief"):
            raise ValueError("its task is not that of a worker")
        wait_for_all(
            [
                address
                for job in cluster.jobs
                if job in ("worker", "chief")
                for address in cluster.job_tasks(job)
            ],
            cluster.task_address(resolver.task_type, resolver.task_id),
        )
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:
        raise UserError(
            "the workers of TF_CONFIG must reach one another, each by its own "
            f"port; {received}: {error.message.splitlines()[0]}"
        ) from None
    except (
        AttributeError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise UserError(
            "TF_CONFIG must describe the cluster and this worker's task; "
            f"{received}: {error}"
        ) from None


# Errors that TensorFlow may raise after another worker has ended.
_WORKER_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


@contextlib.contextmanager
def lost_workers_reported(
    strategy: tf.distribute.Strategy,
) -> Iterator[None]:
    """Replaces errors that follow the end of another worker by a UserError.

    Raises:
      UserError: another worker ended, or cannot be reached.
    """
    try:
        yield
    except _WORKER_LOST as error:
        if not has_workers(strategy):
            raise
        raise UserError(
            "every worker must run until the end; another worker ended or "
            f"cannot be reached{_detail(error)}; fix what its last line "
            "reports, and start all workers again with the same commands, to "
            "resume from the last checkpoint that all of them have"
        ) from error


# Starts of lines that locate an error in a graph but do not explain it.
_LOCATIONS = (
    "Graph execution error",
    "Detected at node",
    "File ",
    "<stack traces",
)


def _detail(error: tf.errors.OpError) -> str:
    """The first line of an error that explains it, in brackets; or ""."""
    for line in error.message.splitlines():
        plain = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]", "", line).strip()
        if plain and not plain.startswith(_LOCATIONS):
            return f" ({plain})"
    return ""


def own_workdir(config: Config, strategy: tf.distribute.Strategy) -> Config:
    """The configuration with this worker's own workdir.

    The first worker uses the workdir of the run. Each of the others has its own
    folder inside it, since each worker resumes from its own checkpoints.
    """
    resolver = strategy.cluster_resolver
    if not has_workers(strategy):
        return config
    if resolver.task_type == "chief" or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    ):
        return config
    folder = f"{resolver.task_type}_{resolver.task_id}"
    return dataclasses.replace(
        config, workdir=os.path.join(config.workdir, folder)
    )


def check_replicas(config: Config, replicas: int, has_gpu: bool) -> None:
    """Raises UserError unless a step can be split over the replicas."""
    # On GPUs TensorFlow compiles each replica's step by itself. On CPUs it
    # compiles the steps of all replicas together, which fails, since they read
    # from other devices.
    if config.jit_compile and replicas > 1 and not has_gpu:
        raise UserError(
            "--jit_compile needs one replica, or GPUs; received "
            f"{replicas} replicas on CPUs; remove the flag"
        )
    for name in ("batch_size", "damsm_batch_size"):
        size = getattr(config, name)
        if size % replicas:
            raise UserError(
                f"--{name} must be a multiple of the number of replicas, "
                f"{replicas}; received {size}"
            )
    if config.gan_mismatched_pairs and config.batch_size < 2 * replicas:
        raise UserError(
            "--batch_size must be at least 2 for each of "
            f"{replicas} replicas with --gan_mismatched_pairs; received "
            f"{config.batch_size}"
        )


def replicas() -> int:
    """Number of replicas that a batch is split over; 1 without a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def any_worker(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """A function that returns whether its argument is true on any worker.

    All workers must call it at the same step.
    """
    if not has_workers(strategy):
        return bool

    @tf.function(autograph=False)
    def count(value):
        rows = strategy.run(lambda: tf.cast(value, tf.float32))
        return strategy.reduce("SUM", rows, axis=None)

    return lambda value: bool(count(tf.constant(value)) > 0)


def agreed_step(strategy: tf.distribute.Strategy, own: int) -> int:
    """The step that all workers can resume from; 0: none has started.

    Args:
      strategy: the strategy of the workers.
      own: the step of this worker's last checkpoint; 0 without one.

    Raises:
      UserError: another worker has no checkpoint, and would start at step 0.
    """
    step = lowest_step(strategy, own)
    if own and not step:
        raise UserError(
            "all workers must have a checkpoint to resume from; this one has "
            f"step {own}, another has none; copy this one's folder to it, or "
            "remove all workers' checkpoints to start again"
        )
    return step


def lowest_step(strategy: tf.distribute.Strategy, own: int) -> int:
    """The lowest step over all workers.

    Workers that were killed at different moments have saved different steps.
    """
    if not has_workers(strategy):
        return own

    # Outside of a function, TensorFlow warns about strategy.run.
    @tf.function(autograph=False)
    def all_steps():
        rows = strategy.run(lambda: tf.constant([own], tf.int64))
        return strategy.gather(rows, axis=0)

    return int(tf.reduce_min(all_steps()))


def has_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes train together."""
    resolver = strategy.cluster_resolver
    return resolver is not None and bool(resolver.task_type)


def gather(tensor: tf.Tensor) -> tf.Tensor:
    """Joins the rows of all replicas, in the order of the global batch.

    The gradient is summed over the replicas. Every replica computes the whole
    loss of the gathered rows, so that loss must be divided by their number.
    """
    if replicas() == 1:
        return tensor
    # A tensor straight from a batch has no device, which workers require.
    tensor = tf.identity(tensor)
    gathered = tf.distribute.get_replica_context().all_gather(tensor, axis=0)
    # all_gather loses the static shape, which the word score needs.
    rows, *others = tensor.shape
    return tf.ensure_shape(
        gathered, [None if rows is None else rows * replicas(), *others]
    )


def all_reduce_sum(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Each tensor's sum over the replicas."""
    if replicas() == 1:
        return tensors
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def apply_gradients(optimizer, gradients: list, weights: list) -> None:
    """One update by the sum of all replicas' gradients.

    The sum is computed before `apply`, so that a loss-scale optimizer sees an
    overflow of any replica on all replicas. `apply` sums again, so the sum is
    divided by the number of replicas.
    """
    R = replicas()
    gradients = all_reduce_sum(gradients)
    optimizer.apply([g / R for g in gradients] if R > 1 else gradients, weights)


def replica_id() -> tf.Tensor:
    """The index of this replica, int32 []."""
    context = tf.distribute.get_replica_context()
    return tf.cast(context.replica_id_in_sync_group, tf.int32)
