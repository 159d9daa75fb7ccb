"""Pages of other hosts get nothing, unless they are let in."""

import functools
import ipaddress
import urllib.parse

from werkzeug import Request

from export.serving.errors import Code, ServingError


@functools.lru_cache(maxsize=64)
def is_local(host: str) -> bool:
    """Whether a name or an address is this machine's own, for itself only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check(request: Request, listens_at: str) -> None:
    """Refuses what a browser sends for a page of another host.

    A server of this machine alone is asked by the machine's names alone: a
    page of a host whose name was turned to 127.0.0.1 would be of its origin.

    Args:
      request: any.
      listens_at: --host.

    Raises:
      ServingError: PERMISSION_DENIED (403).
    """
    host = request.headers.get("Host", "")
    if host and is_local(listens_at) and not _is_of(host, listens_at):
        raise ServingError(
            Code.PERMISSION_DENIED,
            f"at --host={listens_at} the Host must be a name of this machine, "
            f"such as localhost; received {host!r}",
        )
    origin = request.headers.get("Origin")
    if origin is None:
        return
    # A browser writes both alike: scheme://host[:port], and host[:port].
    if origin.lower().partition("://")[2] != host.lower():
        raise ServingError(
            Code.PERMISSION_DENIED,
            f"pages of {origin!r} are let in with "
            "--rest_api_enable_cors_support only",
        )


@functools.lru_cache(maxsize=64)
def _is_of(host: str, listens_at: str) -> bool:
    """Whether a Host header names a server of this machine alone."""
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    except ValueError:  # half of an IPv6 address
        return False
    return is_local(name) or name == listens_at
