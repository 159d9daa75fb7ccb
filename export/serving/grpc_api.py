"""The gRPC interface: PredictionService and ModelService."""

import logging
import time
import traceback
import types
from collections.abc import Callable
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.serving import status, tensor_protos
from export.serving.errors import ServingError, invalid
from export.serving.models import Model
from export.serving.predictor import Predictor

_THREADS = 32  # requests processed at once
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def make_server(predictor: Predictor, max_bytes: int) -> grpc.Server:
    """The server with its services, without a port.

    Args:
      predictor: what answers.
      max_bytes: max size of a request.
    """
    # It logs a traceback for every request that cannot be parsed.
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
    methods = _Methods(predictor)
    refuse = _answering(methods.refuse)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        types.SimpleNamespace(
            Predict=_answering(methods.predict),
            GetModelMetadata=_answering(methods.metadata),
            Classify=refuse,
            Regress=refuse,
            MultiInference=refuse,
        ),
        server,
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        types.SimpleNamespace(
            GetModelStatus=_answering(methods.status),
            HandleReloadConfigRequest=refuse,
        ),
        server,
    )
    return server


def _answering(method: Callable) -> Callable:
    """The method as a handler of gRPC: an error becomes its code."""

    def answer(request, context: grpc.ServicerContext):
        try:
            left = context.time_remaining()
            return method(
                request, None if left is None else time.monotonic() + left
            )
        except ServingError as error:
            code, message = _CODES[error.code], error.message
        except Exception:  # a bug: the client gets one line, too
            traceback.print_exc()
            code, message = grpc.StatusCode.INTERNAL, "internal error"
        return context.abort(code, message)

    return answer


def _choice(spec: model_pb2.ModelSpec) -> tuple[int | None, str | None]:
    """The version or the label that the request names, if any."""
    version = spec.version.value if spec.HasField("version") else None
    return version, spec.version_label or None


class _Methods:
    """The services' methods, from a message and its deadline to the answer."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def _model(self, spec: model_pb2.ModelSpec) -> Model:
        if not spec.name:
            raise invalid("model_spec must name a model; received none")
        return self._predictor.models.find(spec.name)

    def predict(
        self, request: predict_pb2.PredictRequest, deadline: float | None
    ) -> predict_pb2.PredictResponse:
        spec = request.model_spec
        model = self._model(spec)
        with (
            self._predictor.counted(model, "GRPC"),
            model.use(*_choice(spec)) as servable,
        ):
            signature = servable.signature(
                spec.signature_name, tf.errors.FAILED_PRECONDITION
            )
            feeds = tensor_protos.decode(request, signature)
            names = tensor_protos.output_names(request, signature)
            outputs = self._predictor.run(
                servable, signature, feeds, names, deadline
            )
            return tensor_protos.encode(outputs, servable, signature)

    def metadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        deadline: float | None,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if list(request.metadata_field) != [status.METADATA_FIELD]:
            raise invalid(
                f"metadata_field must be {status.METADATA_FIELD}; "
                f"received {', '.join(request.metadata_field) or 'none'}"
            )
        spec = request.model_spec
        with self._model(spec).use(*_choice(spec)) as servable:
            return status.metadata_response(servable)

    def status(
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        deadline: float | None,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        model = self._predictor.models.find(request.model_spec.name)
        version, _ = _choice(request.model_spec)
        return status.status_response(model.statuses(version))

    def refuse(self, request, deadline: float | None):
        raise invalid("no signature here is for this method; use Predict")
