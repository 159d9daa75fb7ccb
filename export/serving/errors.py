"""Errors of the protocol: a gRPC code, and the HTTP status it becomes."""

import re

import tensorflow as tf

# As TensorFlow Serving maps them (model_servers/http_server.cc).
_HTTP_STATUS = {
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.DEADLINE_EXCEEDED: 504,
    tf.errors.NOT_FOUND: 404,
    tf.errors.PERMISSION_DENIED: 403,
    tf.errors.RESOURCE_EXHAUSTED: 429,
    tf.errors.FAILED_PRECONDITION: 400,
    tf.errors.OUT_OF_RANGE: 400,
    tf.errors.UNIMPLEMENTED: 501,
    tf.errors.UNAVAILABLE: 503,
}
# What TensorFlow's messages begin with; some include the node's origin.
_HEADING = re.compile(r"Graph execution error:(.*Node: [^\n]*)?", re.DOTALL)
_MAX_LENGTH = 500  # gRPC sends messages in headers, whose size is limited


class ServingError(Exception):
    """A request, or a version, that failed.

    Attributes:
      code: the gRPC code, a number such as `tf.errors.NOT_FOUND`.
      message: one line for the client.
      http_status: the HTTP status of the code.
    """

    def __init__(self, code: int, message: str):
        line = " ".join(message.split())
        if len(line) > _MAX_LENGTH:
            line = line[:_MAX_LENGTH] + "..."
        super().__init__(line)
        self.code = code
        self.message = line
        self.http_status = _HTTP_STATUS.get(code, 500)


def invalid(message: str) -> ServingError:
    """The error of a malformed request: 400."""
    return ServingError(tf.errors.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """The error of a model or version that is not served: 404."""
    return ServingError(tf.errors.NOT_FOUND, message)


def timed_out() -> ServingError:
    """The error of a request that exceeded its timeout: 504."""
    return ServingError(
        tf.errors.DEADLINE_EXCEEDED, "the request exceeded its timeout"
    )


def from_exception(error: Exception) -> ServingError:
    """The error for the client: one line."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        lines = _HEADING.sub("", error.message).strip().splitlines()
        return ServingError(error.error_code, (lines or ["no message"])[0])
    return ServingError(tf.errors.UNKNOWN, f"{type(error).__name__}: {error}")


def shown(value: object, max_length: int = 60) -> str:
    """A value for an error message, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= max_length else text[:max_length] + "..."
