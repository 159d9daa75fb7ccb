"""Waits until all workers of a job are there.

TensorFlow waits by itself, but blind and deaf: it names nobody, and neither
Ctrl-C nor SIGTERM ends it.
"""

import contextlib
import errno
import socket
import time
from collections.abc import Sequence

from attngan_tf.config import UserError

WAIT_SECONDS = 0.5  # between two looks
TELL_SECONDS = 60.0  # between two lines of who is missing
CONNECT_SECONDS = 2.0


def wait_for_all(addresses: Sequence[str], own: str) -> None:
    """Returns when something listens at every worker's address.

    Meanwhile this one's port is listened at, so that the others find it; then
    it is free again, for TensorFlow.

    Args:
      addresses: of all workers, each host:port.
      own: which of them is this one's.

    Raises:
      UserError: its port cannot be listened at.
      ValueError: an address has no port.
    """
    ports = {address: _split(address) for address in addresses}
    missing = dict.fromkeys(x for x in addresses if x != own)
    if not missing:
        return
    told = -TELL_SECONDS
    with _listening(own, ports[own][1]):
        while missing:
            missing = {
                address: reason
                for address in missing
                if (reason := _unreachable(*ports[address])) is not None
            }
            if missing and time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                names = (f"{x} ({reason})" for x, reason in missing.items())
                print(f"waiting for workers: {', '.join(names)}", flush=True)
            if missing:
                time.sleep(WAIT_SECONDS)


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"{address!r} is no host:port")
    return host.strip("[]"), int(port)


def _unreachable(host: str, port: int) -> str | None:
    """Why nothing answers there; None if something does."""
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:  # a name that is not known, too
        return error.strerror or str(error)
    return None


def _listening(own: str, port: int) -> contextlib.AbstractContextManager:
    """Listens at a port, and lets the system answer: nothing is accepted.

    So no connection is left that would keep the port from TensorFlow.
    """
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(
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
