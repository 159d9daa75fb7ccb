"""Idle connections, thousands at once."""

import dataclasses
import socket
import time

WAVE_SECONDS = 15.0  # that a wave is held
REST_SECONDS = 45.0  # between two
A_SECOND = 1000  # opened


@dataclasses.dataclass
class Waves:
    """What became of idle connections.

    Attributes:
      wanted: a wave's connections.
      held: the most that were established at once, whoever closed them.
      alive: the most that the server had not closed a second later.
      opened: of all waves.
    """

    wanted: int
    held: int = 0
    alive: int = 0
    opened: int = 0


def _open(port: int) -> socket.socket | None:
    link = socket.socket()
    link.setblocking(False)
    try:
        link.connect(("127.0.0.1", port))
    except BlockingIOError:
        pass
    except OSError:  # no port is left, or nobody listens
        link.close()
        return None
    return link


def _count(links: list[socket.socket]) -> tuple[int, int]:
    """How many were established, and how many of these still are."""
    established = alive = 0
    for link in links:
        try:
            link.getpeername()
            established += 1
            while link.recv(2**10):  # gRPC greets
                pass
        except BlockingIOError:
            alive += 1
        except OSError:
            pass
    return established, alive


def wave(waves: Waves, ports: list[int], seconds: float) -> None:
    """Opens `wanted` connections, holds them, and closes them.

    Every tenth is of the second port.
    """
    links: list[socket.socket] = []
    begin = time.monotonic()
    for number in range(waves.wanted):
        link = _open(ports[number % 10 == 9])
        if link:
            links.append(link)
        if number % 100 == 99:
            ahead = number / A_SECOND - (time.monotonic() - begin)
            time.sleep(max(0.0, ahead))
    time.sleep(1.0)
    established, alive = _count(links)
    waves.held = max(waves.held, established)
    waves.alive = max(waves.alive, alive)
    waves.opened += established
    time.sleep(seconds)
    for link in links:
        link.close()


def stay(waves: Waves, ports: list[int], end: float) -> None:
    """Waves until `end`, of `time.monotonic`."""
    while time.monotonic() < end:
        left = end - time.monotonic()
        wave(waves, ports, min(WAVE_SECONDS, left / 2))
        time.sleep(min(REST_SECONDS, max(0.0, end - time.monotonic())))
