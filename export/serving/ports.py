"""Ports and addresses; a port in use is found before models are loaded."""

import socket

from attngan_tf.errors import UserError


def address(host: str, port: int) -> str:
    """host:port, with the brackets that IPv6 needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def in_use(flag: str, port: int, reason: object) -> UserError:
    """The error of a port that cannot be listened on."""
    return UserError(
        f"--{flag} must be a free port at --host, an address of this machine; "
        f"received {port}: {reason}; 0 picks a free one"
    )


def bind(flag: str, host: str, port: int) -> socket.socket:
    """A socket that listens on a port; 0 picks a free one.

    Raises:
      UserError: the port is in use, or the host is not this machine's.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Connections of a server that just ended do not block the port.
        return socket.create_server(where[:2], family=family)
    except (OSError, UnicodeError) as error:
        raise in_use(flag, port, f"{host}: {error}") from None
