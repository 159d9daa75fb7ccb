"""What the server tells of itself: versions' states and signatures."""

from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
)

from export.serving.servable import Servable
from export.serving.versions import VersionStatus

_State = get_model_status_pb2.ModelVersionStatus.State
METADATA_FIELD = "signature_def"


def status_response(
    statuses: list[VersionStatus],
) -> get_model_status_pb2.GetModelStatusResponse:
    """The answer to a question for versions' states."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        entry = response.model_version_status.add(
            version=status.version, state=_State.Value(status.state)
        )
        entry.status.error_code = status.code.value[0]
        entry.status.error_message = status.message
    return response


def metadata_response(
    servable: Servable,
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The answer to a question for a version's signatures."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.model
    response.model_spec.version.value = servable.version
    response.metadata[METADATA_FIELD].Pack(_signature_map(servable))
    return response


def _signature_map(servable: Servable):
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.signature_defs.items():
        signatures.signature_def[name].CopyFrom(definition)
    return signatures


def as_json(message) -> dict:
    """A message as the real server prints it: every field, snake case."""
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def metadata_json(servable: Servable) -> dict:
    """The signatures as the REST interface shows them."""
    response = metadata_response(servable)
    return {
        "model_spec": as_json(response.model_spec),
        "metadata": {METADATA_FIELD: as_json(_signature_map(servable))},
    }
