"""The answers to status and metadata requests, as protos and as JSON."""

from google.protobuf import json_format
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataResponse,
    SignatureDefMap,
)

from export.serving.servable import Servable

METADATA_FIELD = "signature_def"


def metadata_response(servable: Servable) -> GetModelMetadataResponse:
    """The answer with a version's signatures."""
    response = GetModelMetadataResponse()
    response.model_spec.name = servable.model
    response.model_spec.version.value = servable.version
    signatures = SignatureDefMap(signature_def=servable.signature_defs)
    response.metadata[METADATA_FIELD].Pack(signatures)
    return response


def metadata_json(servable: Servable) -> dict:
    """The answer with a version's signatures, as REST shows it."""
    signatures = SignatureDefMap(signature_def=servable.signature_defs)
    return {
        "model_spec": as_json(metadata_response(servable).model_spec),
        "metadata": {METADATA_FIELD: as_json(signatures)},
    }


def as_json(message) -> dict:
    """A message as the real server prints it: every field, snake case."""
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
