"""Workers wait for one another by their ports."""

import contextlib
import re
import socket
import threading
import time

import pytest

from attngan_tf.errors import UserError
from attngan_tf.training import rendezvous
from tests.ports import free_ports


def addresses(count: int) -> list[str]:
    return [f"localhost:{port}" for port in free_ports(count)]


def listen(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_server((host, int(port)))


class Worker(threading.Thread):
    """Waits for the others, and then listens, as TensorFlow does."""

    def __init__(self, places, own):
        super().__init__(daemon=True)
        self.places, self.own = places, own
        self.met = threading.Event()
        self.end = threading.Event()

    def run(self):
        rendezvous.wait_for_all(self.places, self.own)
        with listen(self.own):
            self.met.set()
            self.end.wait()


@pytest.fixture
def worker():
    """Starts workers, which all end in the end."""
    started = []

    def start(places, own):
        one = Worker(places, own)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.end.set()


def test_all_go_on_when_all_are_there(worker, capsys):
    places = addresses(3)
    first = worker(places, places[0])
    assert not first.met.wait(3 * rendezvous.WAIT_SECONDS)
    found = [first, *(worker(places, own) for own in places[1:])]
    for one in found:
        assert one.met.wait(60)
    said = capsys.readouterr().out
    told = re.match(rf"waiting for workers: {places[1]} \((.+?)\), ", said)
    assert told
    assert "refused" in told[1]


def test_who_was_there_and_left_is_waited_for_again(worker):
    places = addresses(3)
    with listen(places[1]):
        first = worker(places, places[0])
        assert not first.met.wait(2 * rendezvous.WAIT_SECONDS)
    with listen(places[2]):
        assert not first.met.wait(3 * rendezvous.WAIT_SECONDS)
        with listen(places[1]):
            assert first.met.wait(60)


def test_a_port_does_not_answer_itself(monkeypatch, worker):
    """A connection to a free port may get that port as its own."""
    own, other = addresses(2)
    looks = []

    def connect(address, timeout):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.settimeout(timeout)
        one.bind(address)
        one.connect(address)
        looks.append(one.getpeername())
        return one

    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", connect)
        waiting = worker([own, other], own)
        assert not waiting.met.wait(rendezvous.WAIT_SECONDS / 2)
    (peer,) = looks
    assert peer[1] == int(other.split(":")[1])
    with listen(other):
        assert waiting.met.wait(60)


def test_more_can_knock_than_stand_in_line(monkeypatch, worker):
    monkeypatch.setattr(rendezvous, "WAIT_SECONDS", 0.01)
    own, other = addresses(2)
    waiting = worker([own, other], own)
    host, port = own.split(":")
    deadline = time.monotonic() + 30
    for _ in range(3000):
        with contextlib.suppress(ConnectionRefusedError):  # not there yet
            socket.create_connection((host, int(port)), timeout=5).close()
    assert time.monotonic() < deadline  # one that is sent away waits a second
    with listen(other):
        assert waiting.met.wait(60)


def test_a_host_that_nobody_knows_is_named(capsys, monkeypatch):
    """It may be known later: pods get their names when they run."""
    monkeypatch.setattr(rendezvous, "WAIT_SECONDS", 0)
    own, other = addresses(2)
    looks = []
    real = socket.create_connection

    def connect(address, timeout):
        looks.append(address)
        if len(looks) < 3:
            raise socket.gaierror(socket.EAI_NONAME, "Name not known")
        return real(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    with listen(other):
        rendezvous.wait_for_all([own, other], own)
    host, port = other.split(":")
    assert looks == [(host, int(port))] * 3
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"waiting for workers: {other} (Name not known)"


def test_a_port_that_is_taken_is_told():
    own, other = addresses(2)
    with listen(own), pytest.raises(UserError, match="by its own port") as told:
        rendezvous.wait_for_all([own, other], own)
    assert f"received {own}: another process listens there" in str(told.value)


@pytest.mark.parametrize("wrong", ["host", "host:", ":1", "host:x", "host:0"])
def test_an_address_needs_a_host_and_a_port(wrong):
    own = addresses(1)[0]
    with pytest.raises(ValueError, match=f"{wrong}' is no host:port"):
        rendezvous.wait_for_all([own, wrong], own)


def test_one_worker_alone_waits_for_nobody(capsys):
    (own,) = addresses(1)
    with listen(own):
        rendezvous.wait_for_all([own], own)
    assert not capsys.readouterr().out
