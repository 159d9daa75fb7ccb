"""PredictRequest to arrays and back: gRPC and warm-up records use both."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from export.serving.errors import invalid
from export.serving.servable import Signature

# One value may stand for a whole tensor: without a limit, a few bytes could
# ask for all of the memory.
_MOST_REPEATED = 2**16


def decode(
    request: predict_pb2.PredictRequest, signature: Signature
) -> dict[str, np.ndarray]:
    """A request's inputs; one with a default may be left out.

    Raises:
      ServingError: they do not fit the signature.
    """
    unknown = set(request.inputs) - set(signature.inputs)
    given = {**signature.defaults, **request.inputs}
    missing = set(signature.inputs) - set(given)
    if unknown or missing:
        raise invalid(
            f"inputs must be {', '.join(signature.inputs)}; missing: "
            f"{', '.join(sorted(missing)) or 'none'}; unknown: "
            f"{', '.join(sorted(unknown)) or 'none'}"
        )
    return {
        name: _to_array(name, given[name], spec.dtype)
        for name, spec in signature.inputs.items()
    }


def _to_array(name: str, proto, dtype: np.dtype) -> np.ndarray:
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(sizes, default=0) < 0:
        raise invalid(f"input {name} must have a known shape")
    count = math.prod(sizes)
    if count > max(_MOST_REPEATED, _given(proto)):
        raise invalid(
            f"input {name} must have a value for each of its {count} places; "
            f"received {_given(proto)}"
        )
    try:
        if np.dtype(tf.as_dtype(proto.dtype).as_numpy_dtype) != dtype:
            raise invalid(
                f"input {name} must be of type {tf.as_dtype(dtype).name}; "
                f"received {tf.as_dtype(proto.dtype).name}"
            )
        return tf.make_ndarray(proto)
    except (
        TypeError,
        ValueError,
        IndexError,
        OverflowError,
        KeyError,
    ) as error:
        raise invalid(f"input {name} is not a tensor: {error}") from None


def _given(proto) -> int:
    """How many values, or bytes of values, a tensor proto holds."""
    return max(
        len(proto.tensor_content),
        *(
            len(getattr(proto, field.name))
            for field in proto.DESCRIPTOR.fields
            if field.name.endswith("_val")
        ),
    )


def output_names(
    request: predict_pb2.PredictRequest, signature: Signature
) -> list[str]:
    """The outputs a request asks for: those of its filter, or all.

    Raises:
      ServingError: the filter names one twice, or one that does not exist.
    """
    names = list(request.output_filter) or list(signature.outputs)
    if len(set(names)) < len(names) or set(names) - set(signature.outputs):
        raise invalid(
            "output_filter must name different outputs of "
            f"{', '.join(signature.outputs)}; received {', '.join(names)}"
        )
    return names


def encode(
    outputs: Mapping[str, np.ndarray],
    model: str,
    version: int,
    signature: Signature,
) -> predict_pb2.PredictResponse:
    """The answer to a PredictRequest."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version
    response.model_spec.signature_name = signature.name
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(
            tf.make_tensor_proto(
                array, signature.outputs[name].tensor.dtype, array.shape
            )
        )
    return response
