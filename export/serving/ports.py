"""Ports and addresses; a port in use is found before models are loaded."""

import socket

from attngan_tf.config import UserError


def address(host: str, port: int) -> str:
    """host:port, with the brackets that IPv6 needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def in_use(flag: str, port: int, error: Exception) -> UserError:
    """The error of a port that cannot be listened at."""
    return UserError(
        f"--{flag} must be a free port at an address of this machine; "
        f"received {port}: {error}; 0 picks a free one"
    )


def bind(flag: str, host: str, port: int) -> socket.socket:
    """A socket that holds a port, not yet listening; 0 picks a free port.

    Raises:
      UserError: the port is in use, or the host is not this machine's.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host must be an address of this machine; received {host!r}: "
            f"{error}"
        ) from None
    try:
        # Connections of a server that just ended do not keep the port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
    except OSError as error:
        bound.close()
        raise in_use(flag, port, error) from None
    return bound
