"""Waits until all workers of a job have started.

TensorFlow itself waits as well, but does not name the missing workers, and
neither Ctrl-C nor SIGTERM interrupts it.
"""

import contextlib
import errno
import socket
import time
from collections.abc import Sequence

from attngan_tf.errors import UserError

WAIT_SECONDS = 0.5  # between two checks
REPORT_SECONDS = 60.0  # between two lines that name the missing workers
CONNECT_SECONDS = 2.0


def wait_for_all(addresses: Sequence[str], own: str) -> None:
    """Returns once a process accepts connections at every worker's address.

    Meanwhile this worker's port accepts connections as well, so that the
    others find it. Afterwards the port is closed, for TensorFlow to use it. A
    worker that is stopped (SIGSTOP) counts as started, since the operating
    system accepts connections for it.

    Args:
      addresses: addresses of all workers, each host:port.
      own: the address of this worker.

    Raises:
      UserError: this worker's port cannot be opened.
      ValueError: an address has no port.
    """
    others = {address: _split(address) for address in addresses}
    _, port = others.pop(own)
    if not others:
        return
    reported = -REPORT_SECONDS
    with _listening(own, port) as server:
        while missing := _missing(others):
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                print(f"waiting for workers: {', '.join(missing)}", flush=True)
            time.sleep(WAIT_SECONDS)
            _close_connections(server)


def _split(address: str) -> tuple[str, int]:
    """Host and port; refuses a malformed address, which would never answer."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def _missing(others: dict[str, tuple[str, int]]) -> list[str]:
    """The workers that do not answer now, each with the reason.

    All are checked each time, since one that answered may have ended.
    """
    reasons = {address: _unreachable(*x) for address, x in others.items()}
    return [f"{x} ({reason})" for x, reason in reasons.items() if reason]


def _unreachable(host: str, port: int) -> str | None:
    """The reason why a worker does not answer; None if it does."""
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as found:
            # A connection to a closed local port can be assigned that port as
            # its source, and so connect to itself.
            alone = found.getsockname() == found.getpeername()
            return "Connection refused" if alone else None
    except OSError as error:  # also for an unknown host name
        return error.strerror or str(error)


def _listening(own: str, port: int) -> socket.socket:
    """This worker's open port.

    Raises:
      UserError: the port cannot be opened, for example because it is in use.
    """
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        server = socket.create_server(
            ("", port), family=family, backlog=1024, dualstack_ipv6=both
        )
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EADDRINUSE:
            reason = "another process uses it"
        raise UserError(
            "the workers of TF_CONFIG must reach one another, each by its own "
            f"port; received {own}: {reason}"
        ) from None
    server.setblocking(False)
    return server


def _close_connections(server: socket.socket) -> None:
    """Empties the queue of connections; a full queue refuses new ones."""
    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
        while True:
            connection, _ = server.accept()
            connection.close()
