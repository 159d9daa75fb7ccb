"""Configuration files of TensorFlow Serving: text protos, read strictly.

The two that the wheel tensorflow-serving-api lacks are described here, with
the fields the stand-in reads. Another field is an error, not ignored.
"""

import os
from typing import TypeVar

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from google.protobuf.message import Message

from attngan_tf.errors import UserError

_PACKAGE = "tensorflow_model_server"
_INT64_VALUE = wrappers_pb2.Int64Value.DESCRIPTOR.full_name
_STRING_VALUE = wrappers_pb2.StringValue.DESCRIPTOR.full_name
# Message -> fields: name, number (as in the server's own files) and type.
_MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, _INT64_VALUE),
        ("batch_timeout_micros", 2, _INT64_VALUE),
        ("max_enqueued_batches", 3, _INT64_VALUE),
        ("num_batch_threads", 4, _INT64_VALUE),
        ("thread_pool_name", 5, _STRING_VALUE),
        ("allowed_batch_sizes", 6, "int64s"),
    ],
    "PrometheusConfig": [("enable", 1, "bool"), ("path", 2, "string")],
    "MonitoringConfig": [
        ("prometheus_config", 1, f"{_PACKAGE}.PrometheusConfig")
    ],
}
_SCALARS = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "int64s": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
}
M = TypeVar("M", bound=Message)


def _add_field(message, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number)
    field.label = (
        field.LABEL_REPEATED if kind == "int64s" else field.LABEL_OPTIONAL
    )
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{kind}"


def _message_classes() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/files.proto", package=_PACKAGE, syntax="proto3"
    )
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for field in fields:
            _add_field(message, *field)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        )
        for name in _MESSAGES
    }


_CLASSES = _message_classes()
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]


def read(flag: str, path: str, kind: type[M]) -> M:
    """The message in a text file that a flag names.

    Raises:
      UserError: the file cannot be read, or has an unknown field.
    """
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return text_format.Parse(file.read(), kind())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(
            f"--{flag} must be a text file with a {kind.DESCRIPTOR.name}; "
            f"received {path}: {error}"
        ) from None
