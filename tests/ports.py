"""Ports of this machine that nothing listens at."""

import contextlib
import random
import socket

# Below those that Linux gives to connections, of which other tests have
# thousands: a port of theirs could be taken before it is used.
RANGE = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, in no order."""
    found = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            one = stack.enter_context(socket.socket())
            port = random.choice(RANGE)
            with contextlib.suppress(OSError):  # taken
                one.bind(("", port))
                found.append(port)
    return found
