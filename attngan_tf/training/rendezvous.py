"""Waits until all workers of a job are there.

TensorFlow waits by itself, but blind and deaf: it names nobody, and neither
Ctrl-C nor SIGTERM ends it.
"""

import contextlib
import errno
import socket
import time
from collections.abc import Sequence

from attngan_tf.errors import UserError

WAIT_SECONDS = 0.5  # between two looks
TELL_SECONDS = 60.0  # between two lines of who is missing
CONNECT_SECONDS = 2.0


def wait_for_all(addresses: Sequence[str], own: str) -> None:
    """Returns when something answers at the address of every worker.

    Meanwhile this one's port answers, so that the others find it; then it is
    free again, for TensorFlow. A process that was stopped (SIGSTOP) answers,
    too: the system does it.

    Args:
      addresses: of all workers, each host:port.
      own: which of them is this one's.

    Raises:
      UserError: its port cannot be listened at.
      ValueError: an address has no port.
    """
    places = {address: _split(address) for address in addresses}
    _, port = places.pop(own)
    if not places:
        return
    told = -TELL_SECONDS
    with _listening(own, port) as server:
        while missing := _missing(places):
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                print(f"waiting for workers: {', '.join(missing)}", flush=True)
            time.sleep(WAIT_SECONDS)
            _drop_visitors(server)


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"{address!r} is no host:port")
    return host.strip("[]"), int(port)


def _missing(places: dict[str, tuple[str, int]]) -> list[str]:
    """Who does not answer now, each with the reason.

    All are looked at each time: who was there may have ended since.
    """
    reasons = {address: _unreachable(*x) for address, x in places.items()}
    return [f"{x} ({reason})" for x, reason in reasons.items() if reason]


def _unreachable(host: str, port: int) -> str | None:
    """Why nothing answers there; None if something does."""
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as found:
            # A port that nobody listens at can be this connection's own.
            alone = found.getsockname() == found.getpeername()
            return "Connection refused" if alone else None
    except OSError as error:  # a name that is not known, too
        return error.strerror or str(error)


def _listening(own: str, port: int) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        server = socket.create_server(
            ("", port), family=family, backlog=1024, dualstack_ipv6=both
        )
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EADDRINUSE:
            reason = "another process listens there"
        raise UserError(
            "the workers of TF_CONFIG must reach one another, each by its own "
            f"port; received {own}: {reason}"
        ) from None
    server.setblocking(False)
    return server


def _drop_visitors(server: socket.socket) -> None:
    """Makes room for more: nobody comes in where too many stand in line."""
    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
        while True:
            visitor, _ = server.accept()
            visitor.close()
