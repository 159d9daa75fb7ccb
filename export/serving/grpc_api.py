"""The gRPC interface: PredictionService and ModelService."""

from collections.abc import Mapping

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from export.serving import status, tensor_protos
from export.serving.errors import Code, ServingError, invalid
from export.serving.grpc_server import Method
from export.serving.predictor import Predictor
from export.serving.versions import Model

_PREDICTION = "tensorflow.serving.PredictionService"
_MODEL = "tensorflow.serving.ModelService"


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


def _parsed(message_class, request: bytes):
    try:
        return message_class.FromString(request)
    except DecodeError:
        name = message_class.DESCRIPTOR.name
        raise invalid(f"the request must be a {name}") from None


class _Methods:
    """What is answered, from a request's bytes to the answer's."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def predict(self, request: bytes, deadline: float | None) -> bytes:
        message = _parsed(predict_pb2.PredictRequest, request)
        model = _model(self._predictor, message.model_spec)
        with self._predictor.counted(model, "GRPC"):
            return self._predict(model, message, deadline).SerializeToString()

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

    def metadata(self, request: bytes, deadline: float | None) -> bytes:
        message = _parsed(
            get_model_metadata_pb2.GetModelMetadataRequest, request
        )
        if list(message.metadata_field) != [status.METADATA_FIELD]:
            raise invalid(
                f"metadata_field must be {status.METADATA_FIELD}; "
                f"received {', '.join(message.metadata_field) or 'none'}"
            )
        model = _model(self._predictor, message.model_spec)
        with model.use(*_choice(message.model_spec)) as servable:
            return status.metadata_response(servable).SerializeToString()

    def status(self, request: bytes, deadline: float | None) -> bytes:
        message = _parsed(get_model_status_pb2.GetModelStatusRequest, request)
        model = _model(self._predictor, message.model_spec)
        version, label = _choice(message.model_spec)
        if label is not None:
            version = model.version_of(label)
        statuses = model.statuses(version)
        return status.status_response(statuses).SerializeToString()

    def refuse(self, request: bytes, deadline: float | None) -> bytes:
        raise ServingError(
            Code.UNIMPLEMENTED, "no signature here is for it; use Predict"
        )


def services(predictor: Predictor) -> Mapping[str, Mapping[str, Method]]:
    """Methods by name, by their service's; others need signatures we lack."""
    methods = _Methods(predictor)
    refused = dict.fromkeys(
        ("Classify", "Regress", "MultiInference"), methods.refuse
    )
    return {
        _PREDICTION: {
            "Predict": methods.predict,
            "GetModelMetadata": methods.metadata,
            **refused,
        },
        _MODEL: {"GetModelStatus": methods.status},
    }
