"""The gRPC interface: PredictionService and ModelService."""

import contextlib
import time
import traceback
from collections.abc import Iterator
from concurrent import futures

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.serving import status, tensor_protos
from export.serving.errors import Code, ServingError, invalid
from export.serving.predictor import Predictor
from export.serving.versions import Model

_UNLIMITED = -1
_A_YEAR = 365 * 24 * 3600.0  # a deadline beyond it stands for none


@contextlib.contextmanager
def _errors_of(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        context.abort(error.code, error.message)
    except Exception:  # a fault of ours: the client gets one line, too
        traceback.print_exc()
        context.abort(Code.INTERNAL, "internal error")


def _model(predictor: Predictor, spec: model_pb2.ModelSpec) -> Model:
    if not spec.name:
        raise invalid("model_spec must name a model; received none")
    return predictor.models.find(spec.name)


def _choice(spec: model_pb2.ModelSpec) -> tuple[int | None, str | None]:
    """The version or the label that the request names, if any."""
    choice = spec.WhichOneof("version_choice")
    if choice == "version":
        return spec.version.value, None
    return None, spec.version_label if choice == "version_label" else None


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the others need signatures we lack."""

    def _refuse(self, request, context):
        context.abort(
            Code.UNIMPLEMENTED, "no signature here is for it; use Predict"
        )

    Classify = Regress = MultiInference = _refuse

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def Predict(  # noqa: N802, the service's name for it
        self, request: predict_pb2.PredictRequest, context
    ) -> predict_pb2.PredictResponse:
        left = context.time_remaining()
        limited = left is not None and left < _A_YEAR
        deadline = time.monotonic() + left if limited else None
        with _errors_of(context):
            model = _model(self._predictor, request.model_spec)
            with self._predictor.counted(model, "GRPC"):
                return self._predict(model, request, deadline)

    def _predict(
        self,
        model: Model,
        request: predict_pb2.PredictRequest,
        deadline: float | None,
    ) -> predict_pb2.PredictResponse:
        with model.use(*_choice(request.model_spec)) as servable:
            signature = servable.signature(
                request.model_spec.signature_name or "serving_default",
                Code.FAILED_PRECONDITION,
            )
            outputs = self._predictor.run(
                servable,
                signature,
                tensor_protos.decode(request, signature),
                tensor_protos.output_names(request, signature),
                deadline,
            )
            return tensor_protos.encode(
                outputs, servable.model, servable.version, signature
            )

    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        with _errors_of(context):
            if list(request.metadata_field) != [status.METADATA_FIELD]:
                raise invalid(
                    f"metadata_field must be {status.METADATA_FIELD}; "
                    f"received {', '.join(request.metadata_field) or 'none'}"
                )
            model = _model(self._predictor, request.model_spec)
            with model.use(*_choice(request.model_spec)) as servable:
                return status.metadata_response(servable)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context
    ) -> get_model_status_pb2.GetModelStatusResponse:
        with _errors_of(context):
            model = _model(self._predictor, request.model_spec)
            version, label = _choice(request.model_spec)
            if label is not None:
                version = model.version_of(label)
            return status.status_response(model.statuses(version))


def make_server(
    predictor: Predictor, threads: int, max_request_bytes: int
) -> grpc.Server:
    """A server with both services; it has no port yet."""
    server = grpc.server(
        futures.ThreadPoolExecutor(threads),
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.max_send_message_length", _UNLIMITED),
            # Two servers must not share a port unawares.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(predictor), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(predictor), server
    )
    return server
