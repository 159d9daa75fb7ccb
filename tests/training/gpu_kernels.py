"""Which operations of a traced graph a GPU runs, by TensorFlow's kernel list.

The package for Linux lists the kernels for GPUs on any machine.
"""

from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.framework import (
    function_def_to_graph,
    kernels,
    op_def_registry,
)

# Arguments, and calls of other graphs, which have no kernels to check.
NOT_RUN = {"Placeholder", "PartitionedCall", "StatefulPartitionedCall"}


def graphs(graph: tf.Graph) -> list[tf.Graph]:
    """A graph and those of all functions that it calls."""
    with graph.as_default():
        return [graph] + [
            function_def_to_graph.function_def_to_graph(function)
            for function in graph.as_graph_def().library.function
        ]


def operations(graph: tf.Graph) -> Iterator[tf.Operation]:
    """The operations of a graph and of all functions that it calls."""
    for one in graphs(graph):
        for operation in one.get_operations():
            if operation.type not in NOT_RUN:
                yield operation


def kernel(operation: tf.Operation, *devices: str):
    """The kernel for the first device that has one of these types, or None."""
    node = operation.node_def

    def fits(constraint) -> bool:
        value = node.attr[constraint.name]
        listed = value.WhichOneof("value") == "list"
        types = value.list.type if listed else [value.type]
        return set(types) <= set(constraint.allowed_values.list.type)

    listed = kernels.get_registered_kernels_for_op(node.op).kernel
    for device in devices:
        for found in listed:
            if found.device_type == device and all(map(fits, found.constraint)):
                return found
    return None


def gpu_kernel(operation: tf.Operation):
    """The kernel on a GPU: its own, or one for all devices."""
    return kernel(operation, "GPU", "DEFAULT")


def _on_host(operation: tf.Operation, ends: str) -> list[bool]:
    """Whether each input or output (`ends`) is in the CPU's memory."""
    node, found = operation.node_def, gpu_kernel(operation)
    names = []
    for argument in getattr(op_def_registry.get(node.op), ends):
        count = 1
        if argument.number_attr:
            count = node.attr[argument.number_attr].i
        elif argument.type_list_attr:
            count = len(node.attr[argument.type_list_attr].list.type)
        names += [argument.name] * count
    if found is None:  # runs on the CPU
        return [True] * len(names)
    return [name in found.host_memory_arg for name in names]


def host_inputs(operation: tf.Operation) -> list[tf.Tensor]:
    """The inputs that an operation reads from the CPU's memory."""
    on_host = _on_host(operation, "input_arg")
    return [
        tensor
        for tensor, here in zip(operation.inputs, on_host, strict=True)
        if here
    ]


def is_constant(operation: tf.Operation) -> bool:
    """Whether TensorFlow computes it once, before the first step."""
    if operation.type in ("Const", "Shape", "ShapeN", "Size", "Rank"):
        return True
    return bool(operation.inputs) and all(
        is_constant(tensor.op) for tensor in operation.inputs
    )


def copies_to_host(graph: tf.Graph) -> list[tf.Operation]:
    """Operations that make the CPU wait for a result of the GPU.

    Those that read arguments are left out: the integers of a batch are on the
    CPU from the start, and variables are handles.
    """
    found = []
    for operation in operations(graph):
        for tensor in host_inputs(operation):
            maker = tensor.op
            if maker.type in NOT_RUN or is_constant(maker):
                continue
            if not _on_host(maker, "output_arg")[tensor.value_index]:
                found.append(operation)
    return found
