"""PredictRequest to arrays and back: gRPC and warm-up records use both."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from export.serving.errors import invalid
from export.serving.servable import Arrays, Servable, Signature

# One value may represent a whole tensor: without a limit, a few bytes could
# allocate all of the memory.
_MAX_REPEATED = 2**16


def decode(request: predict_pb2.PredictRequest, signature: Signature) -> Arrays:
    """A request's inputs; raises ServingError if they do not fit."""
    if request.inputs.keys() != signature.inputs.keys():
        raise invalid(
            f"inputs must be {', '.join(signature.inputs)}; received "
            f"{', '.join(request.inputs) or 'none'}"
        )
    return {
        name: _to_array(name, request.inputs[name], tensor.dtype)
        for name, tensor in signature.inputs.items()
    }


def _to_array(name: str, proto, dtype: tf.DType) -> np.ndarray:
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
        raise invalid(f"input {name} must have a known shape")
    # Every value given takes a byte or more.
    if math.prod(sizes) > max(_MAX_REPEATED, proto.ByteSize()):
        raise invalid(f"input {name} must hold {math.prod(sizes)} values")
    try:
        given = tf.as_dtype(proto.dtype)
        if given != dtype:
            raise invalid(
                f"input {name} must be {dtype.name}; received {given.name}"
            )
        return tf.make_ndarray(proto)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise invalid(f"input {name} is not a tensor: {error}") from None


def output_names(
    request: predict_pb2.PredictRequest, signature: Signature
) -> list[str]:
    """The outputs a request asks for: those of its filter, or all.

    Raises:
      ServingError: the filter names one that does not exist, or one twice.
    """
    names = list(request.output_filter) or list(signature.outputs)
    if len(set(names)) < len(names) or set(names) - set(signature.outputs):
        raise invalid(
            "output_filter must name different outputs of "
            f"{', '.join(signature.outputs)}; received {', '.join(names)}"
        )
    return names


def encode(
    outputs: Mapping[str, np.ndarray], servable: Servable, signature: Signature
) -> predict_pb2.PredictResponse:
    """The answer to a PredictRequest."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = servable.model
    response.model_spec.version.value = servable.version
    response.model_spec.signature_name = signature.name
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(
            tf.make_tensor_proto(
                array, signature.outputs[name].dtype, array.shape
            )
        )
    return response
