"""The gRPC interface: PredictionService and ModelService."""

import functools
import logging
import time
import traceback
import types
from collections.abc import Callable
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from export.serving import status, tensor_protos
from export.serving.errors import ServingError, invalid
from export.serving.predictor import Predictor

_THREADS = 32  # requests processed at once
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def make_server(predictor: Predictor, max_bytes: int) -> grpc.Server:
    """The server with its services, without a port.

    Args:
      predictor: computes the answers.
      max_bytes: maximum size of a request.
    """
    # gRPC logs a traceback for every request that cannot be parsed.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            # Otherwise a second server would silently share the port.
            ("grpc.so_reuseport", 0),
        ],
    )

    def handler(method: Callable) -> Callable:
        return functools.partial(_answer, method, predictor)

    refuse = handler(_refuse)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        types.SimpleNamespace(
            Predict=handler(_predict),
            GetModelMetadata=handler(_metadata),
            Classify=refuse,
            Regress=refuse,
            MultiInference=refuse,
        ),
        server,
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        types.SimpleNamespace(
            GetModelStatus=handler(_status), HandleReloadConfigRequest=refuse
        ),
        server,
    )
    return server


def _answer(
    method: Callable,
    predictor: Predictor,
    request,
    context: grpc.ServicerContext,
):
    """What a method returns; an error ends the call with its code."""
    try:
        left = context.time_remaining()
        deadline = None if left is None else time.monotonic() + left
        return method(predictor, request, deadline)
    except ServingError as error:
        code, message = _CODES[error.code], error.message
    except Exception:  # a bug: the client gets one line, too
        traceback.print_exc()
        code, message = grpc.StatusCode.INTERNAL, "internal error"
    return context.abort(code, message)


def _choice(spec: model_pb2.ModelSpec) -> tuple[int | None, str | None]:
    """The version or the label that the request names, if any."""
    version = spec.version.value if spec.HasField("version") else None
    return version, spec.version_label or None


def _predict(predictor: Predictor, request, deadline: float | None):
    spec = request.model_spec
    if not spec.name:
        raise invalid("model_spec must name a model; received none")
    model = predictor.models.find(spec.name)
    with (
        predictor.counted(model, "GRPC"),
        model.use(*_choice(spec)) as servable,
    ):
        signature = servable.signature(
            spec.signature_name, tf.errors.FAILED_PRECONDITION
        )
        feeds = tensor_protos.decode(request, signature)
        names = tensor_protos.output_names(request, signature)
        outputs = predictor.run(servable, signature, feeds, names, deadline)
        return tensor_protos.encode(outputs, servable, signature)


def _metadata(predictor: Predictor, request, deadline: float | None):
    if list(request.metadata_field) != [status.METADATA_FIELD]:
        raise invalid(
            f"metadata_field must be {status.METADATA_FIELD}; received "
            f"{', '.join(request.metadata_field) or 'none'}"
        )
    model = predictor.models.find(request.model_spec.name)
    with model.use(*_choice(request.model_spec)) as servable:
        return status.metadata_response(servable)


def _status(predictor: Predictor, request, deadline: float | None):
    model = predictor.models.find(request.model_spec.name)
    version, _ = _choice(request.model_spec)
    return get_model_status_pb2.GetModelStatusResponse(
        model_version_status=model.statuses(version)
    )


def _refuse(predictor: Predictor, request, deadline: float | None):
    raise invalid("no signature supports this method; use Predict")
