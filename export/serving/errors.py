"""Errors of the protocol: a gRPC code, and the HTTP status it becomes."""

import grpc

Code = grpc.StatusCode

# As TensorFlow Serving maps them (model_servers/http_server.cc).
HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
_BY_NUMBER = {code.value[0]: code for code in Code}
_HEADING = "Graph execution error:"
_LONGEST = 500  # gRPC carries messages in headers, which have a limit


class ServingError(Exception):
    """A request, or a version, that failed.

    Attributes:
      code: the gRPC code.
      message: one line for the client.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        line = " ".join(message.split())
        if len(line) > _LONGEST:
            line = line[:_LONGEST] + "..."
        super().__init__(line)
        self.code = code
        self.message = line


def invalid(message: str) -> ServingError:
    """The error of a request that cannot be right: 400."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """The error of a model or version that is not served: 404."""
    return ServingError(Code.NOT_FOUND, message)


def exhausted(message: str) -> ServingError:
    """The error of a client that asks for more than its share: 429."""
    return ServingError(Code.RESOURCE_EXHAUSTED, message)


def timed_out() -> ServingError:
    """The error of a request that took longer than it may: 504."""
    return ServingError(
        Code.DEADLINE_EXCEEDED, "the request took longer than its time-out"
    )


def from_tensorflow(error: Exception) -> ServingError:
    """What a `tf.errors.OpError` is for the client: the line that tells.

    Around it, TensorFlow shows where the failing node was made.
    """
    code = _BY_NUMBER.get(error.error_code, Code.UNKNOWN)
    lines = [x.strip() for x in error.message.splitlines() if x.strip()]
    lines = [x for x in lines if x != _HEADING]
    nodes = [k for k, line in enumerate(lines) if line.startswith("Node: ")]
    after_node = lines[nodes[-1] + 1 :] if nodes else lines
    return ServingError(code, (after_node or lines or ["no message"])[0])


def shown(value: object, longest: int = 60) -> str:
    """A value for an error message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= longest else text[:longest] + "..."
