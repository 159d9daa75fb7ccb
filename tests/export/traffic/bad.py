"""Faulty clients: too large, slow, malformed, or gone too early.

Each sends one request and returns how it ended: an HTTP status, or CLOSED.
"""

import collections
import random
import re
import socket
import struct
import time
from collections.abc import Callable

from tests.export.server_process import Running

MAX_BYTES = 2_000_000  # of a request, as the server is started
SLOW_SECONDS = 8
CLOSED = "closed"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST
_BODIES = [
    b"{",
    b"[" * 100_000,
    b'{"instances": [' + b"9" * 5000 + b"]}",
    b'{"instances": ["' + b"\\ud800" * 10 + b'"]}',
    b'{"instances": [' + b'"",' * 100_000 + b'""]}',
    b'{"signature_name": "none", "instances": ["a"]}',
]


def _connect(server: Running) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def _head(length: int) -> bytes:
    return (
        b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


def _status(link: socket.socket) -> str:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", link.recv(2**16))
    return found[1].decode() if found else CLOSED


def too_large(server: Running) -> str:
    """A body beyond the limit; it may be cut off before it is sent."""
    with _connect(server) as link:
        link.sendall(_head(2 * MAX_BYTES))
        link.sendall(bytes(random.choice([0, 2 * MAX_BYTES])))
        return _status(link)


def malformed_body(server: Running) -> str:
    """A body that is no JSON, or no request."""
    body = random.choice(_BODIES)
    with _connect(server) as link:
        link.sendall(_head(len(body)) + body)
        return _status(link)


def garbage(server: Running) -> str:
    """Bytes that are not HTTP, on either port."""
    where = server.grpc.rpartition(":")
    link = random.choice([_connect(server), None])
    link = link or socket.create_connection((where[0], int(where[2])), 30)
    with link:
        link.sendall(random.randbytes(5000) + b"\r\n\r\n")
        link.shutdown(socket.SHUT_WR)
        return _status(link)


def slow_body(server: Running) -> str:
    """A byte a second, and never all of them."""
    with _connect(server) as link:
        link.sendall(_head(MAX_BYTES))
        for _ in range(SLOW_SECONDS):
            link.sendall(b" ")
            time.sleep(1)
    return CLOSED


def gone(server: Running) -> str:
    """Disconnects within its request or before its answer."""
    body = b'{"instances": ["' + b"a" * 50_000 + b'"]}'
    content = _head(len(body)) + body
    with _connect(server) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        link.sendall(content[: random.choice([20, 20_000, len(content)])])
    return CLOSED


# How each may end.
KINDS: dict[Callable[[Running], str], set[str]] = {
    too_large: {"413", CLOSED},
    malformed_body: {"400"},
    garbage: {"400", CLOSED},
    slow_body: {CLOSED},
    gone: {CLOSED},
}


def work(
    server: Running, kind: Callable[[Running], str], end: float
) -> collections.Counter:
    """Counts how requests of a kind ended, until `end`."""
    ends = collections.Counter()
    while time.monotonic() < end:
        try:
            ends[kind(server)] += 1
        except ConnectionError:
            ends[CLOSED] += 1
        except OSError as error:  # such as a time-out
            ends[repr(error)] += 1
        time.sleep(random.random() / 2)
    return ends
