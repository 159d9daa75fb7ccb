"""Unused ports of this machine."""

import contextlib
import random
import socket

# Below the ports that Linux gives to connections, of which other tests have
# thousands, and which could be taken before they are used.
RANGE = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, in random order."""
    found = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            one = stack.enter_context(socket.socket())
            port = random.choice(RANGE)
            with contextlib.suppress(OSError):  # taken
                one.bind(("", port))
                found.append(port)
    return found
