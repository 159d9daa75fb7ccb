"""Counts the floating-point operations of a traced graph.

Only convolutions, their gradients and matrix products are counted, which are
nearly all of the arithmetic of these networks. A multiply-add counts as two
operations. Products with a convolution's padding are counted as well.
"""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
BRANCHES = ("If", "StatelessIf", "Case", "StatelessCase")
LOOPS = ("While", "StatelessWhile")


class Count(NamedTuple):
    """The operations of each call of a graph.

    Attributes:
      flops: floating-point operations.
      left_out: descriptions of operations that are not counted, sorted.
    """

    flops: int
    left_out: tuple[str, ...]


def count(
    graph: tf.Graph, wanted: Iterable[int] | None = None, times: int = 1
) -> Count:
    """Counts the operations of a concrete function's graph.

    Like the runtime, it skips operations that no output and no change of state
    depends on: a gradient tape also adds gradients that nothing uses. Of
    several branches, the one with the most operations is counted.

    Args:
      graph: its shapes must be static.
      wanted: indices of the outputs that are used; None: all.
      times: how often the graph is called.
    """
    outputs = graph.outputs
    if wanted is not None:
        outputs = [outputs[i] for i in wanted]
    total, left_out = 0, set()
    for op, used in _needed(outputs, graph.control_outputs).items():
        flops, without = _count_operation(op, used)
        total += flops
        left_out.update(without)
    return Count(times * total, tuple(sorted(left_out)))


def _needed(
    tensors: Iterable[tf.Tensor], operations: Iterable[tf.Operation]
) -> dict[tf.Operation, set[int]]:
    """The given operations, and all that they and the tensors depend on.

    Returns:
      For each operation, which of its outputs are used.
    """
    found = {}
    waiting = [(op, None) for op in operations]
    waiting += [(tensor.op, tensor.value_index) for tensor in tensors]
    while waiting:
        op, output = waiting.pop()
        if op not in found:
            found[op] = set()
            waiting += [(x.op, x.value_index) for x in op.inputs]
            waiting += [(before, None) for before in op.control_inputs]
        if output is not None:
            found[op].add(output)
    return found


def _count_operation(op: tf.Operation, used: set[int]) -> Count:
    if op.type in CALLS:
        return count(_called(op, "f"), used)
    if op.type in LOOPS:
        return _count_loop(op)
    if op.type in BRANCHES:
        counts = [count(graph, used) for graph in _branches(op)]
        return max(counts, key=lambda found: found.flops)
    if op.type not in PRODUCTS:
        return Count(0, (op.type,) if UNKNOWN.search(op.type) else ())
    products = PRODUCTS[op.type](op)
    if products is None:
        return Count(0, (f"{op.type} of unknown shape",))
    return Count(2 * products, ())


def _graph(op: tf.Operation, name: str) -> tf.Graph:
    """A function's graph, for which TensorFlow has no public method."""
    return op.graph._get_function(name).graph


def _called(op: tf.Operation, attribute: str) -> tf.Graph:
    return _graph(op, op.get_attr(attribute).name)


def _branches(op: tf.Operation) -> list[tf.Graph]:
    if op.type in ("If", "StatelessIf"):
        return [_called(op, name) for name in ("then_branch", "else_branch")]
    return [_graph(op, branch.name) for branch in op.get_attr("branches")]


def _count_loop(op: tf.Operation) -> Count:
    body, turns = _called(op, "body"), _turns(op)
    if turns is not None:
        return count(body, times=turns)
    once = count(body)
    if not once.flops:
        return once
    return Count(
        once.flops, (*once.left_out, "iterations of a loop after the first")
    )


def _turns(loop: tf.Operation) -> int | None:
    """The maximum number of a loop's iterations; None if it is not known.

    The second input of TensorFlow's loops is `maximum_iterations`, or -1.
    """
    limit = loop.inputs[1]
    while limit.op.type in ("Identity", "Max"):  # Keras: max of one number
        limit = limit.op.inputs[0]
    turns = tf.get_static_value(limit)
    return None if turns is None or turns < 0 else int(turns)


def _size(*shapes: Iterable[int | None]) -> int | None:
    """The product of all dimensions; None if one is unknown."""
    sides = []
    for shape in shapes:
        if isinstance(shape, tf.TensorShape) and shape.rank is None:
            return None
        sides += shape
    return None if None in sides else math.prod(sides)


def _convolution(outputs: tf.Tensor, kernel: tf.Tensor) -> int | None:
    """Multiply-adds: one per output value and weight of its channel."""
    if kernel.shape.rank is None:
        return None
    return _size(outputs.shape, kernel.shape[:-1])


def _matrix_product(op: tf.Operation, transposed: str) -> int | None:
    left = op.inputs[0].shape
    if left.rank is None:
        return None
    return _size(
        op.outputs[0].shape, [left[-2 if op.get_attr(transposed) else -1]]
    )


def _einsum(op: tf.Operation) -> int | None:
    """Multiply-adds: one per combination of all indices."""
    if len(op.inputs) == 1:
        return 0
    equation = op.get_attr("equation").decode()
    terms = equation.split("->")[0].split(",")
    if "." in equation or any(x.shape.rank is None for x in op.inputs):
        return None
    sides = {}
    for term, operand in zip(terms, op.inputs, strict=True):
        sides |= zip(term, operand.shape, strict=True)
    return _size(sides.values())


# Multiply-adds by the operation's type.
PRODUCTS = {
    "Conv2D": lambda op: _convolution(op.outputs[0], op.inputs[1]),
    "Conv2DBackpropInput": lambda op: _convolution(op.inputs[2], op.inputs[1]),
    "Conv2DBackpropFilter": lambda op: _convolution(
        op.inputs[2], op.outputs[0]
    ),
    "MatMul": lambda op: _matrix_product(op, "transpose_a"),
    "BatchMatMulV2": lambda op: _matrix_product(op, "adj_x"),
    "Einsum": _einsum,
}
# Operations that are not counted although they contain products; it also
# matches other gradients, versions and fused forms.
UNKNOWN = re.compile("Conv[23]D|Conv2d|MatMul|CudnnRNN")
