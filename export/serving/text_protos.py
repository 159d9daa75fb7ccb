"""Configuration files of TensorFlow Serving: text protos, read strictly.

The package tensorflow-serving-api lacks two of them. They are described here,
with the fields that this server reads; any other field is an error.
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

_INT64 = 'type: TYPE_MESSAGE type_name: ".google.protobuf.Int64Value"'
_STRING = 'type: TYPE_MESSAGE type_name: ".google.protobuf.StringValue"'
# Names and numbers are those of the server's own .proto files.
_FILE = f"""
name: "development_server.proto" package: "development_server"
syntax: "proto3" dependency: "{wrappers_pb2.DESCRIPTOR.name}"
message_type {{
  name: "BatchingParameters"
  field {{ name: "max_batch_size" number: 1 {_INT64} }}
  field {{ name: "batch_timeout_micros" number: 2 {_INT64} }}
  field {{ name: "max_enqueued_batches" number: 3 {_INT64} }}
  field {{ name: "num_batch_threads" number: 4 {_INT64} }}
  field {{ name: "thread_pool_name" number: 5 {_STRING} }}
  field {{
    name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED
  }}
}}
message_type {{
  name: "MonitoringConfig"
  field {{
    name: "prometheus_config" number: 1 type: TYPE_MESSAGE
    type_name: ".development_server.MonitoringConfig.PrometheusConfig"
  }}
  nested_type {{
    name: "PrometheusConfig"
    field {{ name: "enable" number: 1 type: TYPE_BOOL }}
    field {{ name: "path" number: 2 type: TYPE_STRING }}
  }}
}}
"""
M = TypeVar("M", bound=Message)
_POOL = descriptor_pool.Default()
_POOL.AddSerializedFile(
    text_format.Parse(
        _FILE, descriptor_pb2.FileDescriptorProto()
    ).SerializeToString()
)
BatchingParameters, MonitoringConfig = (
    message_factory.GetMessageClass(
        _POOL.FindMessageTypeByName(f"development_server.{name}")
    )
    for name in ("BatchingParameters", "MonitoringConfig")
)


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
