"""What one client may take of the server; both ends keep to it."""

import dataclasses
import resource

# JSON of 32 MB may hold 16 million numbers, which take seconds and gigabytes
# to read. A caption of a megabyte of commas is still let in.
MOST_VALUES = 2**21

# gRPC cannot choose whom to close for a new connection, and refuses it. It has
# room for more, at 10 KB each, and silent ones are closed after seconds.
GRPC_SHARE = 10

_OWN_FILES = 256  # of TensorFlow, models and logs
# A connection of HTTP may keep its request and its answer in files.
_FILES_A_CONNECTION = 3 + GRPC_SHARE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of each end.

    Attributes:
      request_bytes: the largest request.
      connections: of HTTP that are open at a time; GRPC_SHARE times as many
        of gRPC.
      requests: of one address, that run or wait to run.
      seconds: in which a request must have arrived and its answer be taken.
    """

    request_bytes: int
    connections: int
    requests: int
    seconds: float


def open_files_for(connections: int) -> int:
    """Lets this process open the files that so many connections need.

    Returns:
      For how many connections it may, if the machine allows fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OWN_FILES + _FILES_A_CONNECTION * connections
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, (allowed - _OWN_FILES) // _FILES_A_CONNECTION)
