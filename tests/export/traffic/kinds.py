"""What a stranger does, and which ends of it are right."""

import dataclasses
from collections.abc import Awaitable, Callable

HANG = "hang"  # no end within HANG_SECONDS
HANG_SECONDS = 45.0
CLOSED = "closed"  # without an answer
LEAK = "leak"  # what nobody may see
LEFT = "left"  # the stranger itself


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """What strangers know of the server.

    Attributes:
      rest: port of HTTP.
      grpc: port of gRPC.
      model: a model's name; `toy` is served, too.
      predict: a good PredictRequest.
      request_bytes: the server's limit.
      secrets: what no answer may hold.
    """

    rest: int
    grpc: int
    model: str
    predict: bytes
    request_bytes: int
    secrets: tuple[bytes, ...]


Visit = Callable[[Target], Awaitable[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of stranger.

    Attributes:
      visit: what it does once; returns an HTTP status, a gRPC code's name, or
        one of the words above.
      right: ends that are right.
      needed: those that must be seen.
      workers: how many are there at a time.
      pause: seconds between two visits of a worker, at most.
    """

    visit: Visit
    right: frozenset[str]
    needed: frozenset[str]
    workers: int
    pause: float


KINDS: dict[str, Kind] = {}


def kind(
    name: str, needed: str, also: str = "", workers: int = 1, pause: float = 2.0
) -> Callable[[Visit], Visit]:
    """Registers a visit; `needed` and `also` list ends that are right."""

    def register(visit: Visit) -> Visit:
        KINDS[name] = Kind(
            visit=visit,
            right=frozenset(f"{needed} {also}".split()),
            needed=frozenset(needed.split()),
            workers=workers,
            pause=pause,
        )
        return visit

    return register
