"""Workers wait for one another at their ports."""

import re
import socket
import threading

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

    def __init__(self, jobs, own):
        super().__init__(daemon=True)
        self.jobs, self.own = jobs, own
        self.met = threading.Event()
        self.end = threading.Event()

    def run(self):
        rendezvous.wait_for_all(self.jobs, self.own)
        with listen(self.own):
            self.met.set()
            self.end.wait()


@pytest.fixture
def worker():
    """Starts workers, which end with the test."""
    started = []

    def start(jobs, own):
        one = Worker(jobs, own)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.end.set()


def test_all_continue_when_all_have_started(worker, capsys):
    jobs = addresses(3)
    first = worker(jobs, jobs[0])
    assert not first.met.wait(3 * rendezvous.WAIT_SECONDS)
    found = [first, *(worker(jobs, own) for own in jobs[1:])]
    for one in found:
        assert one.met.wait(60)
    printed = capsys.readouterr().out
    missing = re.match(rf"waiting for workers: {jobs[1]} \((.+?)\), ", printed)
    assert "refused" in missing[1]


def test_a_connection_to_itself_is_no_answer(monkeypatch, worker):
    """A connection to a free port can get that port as its own."""
    own, other = addresses(2)
    attempts = []

    def connect(address, timeout):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.settimeout(timeout)
        one.bind(address)
        one.connect(address)
        attempts.append(one.getpeername())
        return one

    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", connect)
        waiting = worker([own, other], own)
        assert not waiting.met.wait(rendezvous.WAIT_SECONDS / 2)
    (peer,) = attempts
    assert peer[1] == int(other.split(":")[1])
    with listen(other):
        assert waiting.met.wait(60)


def test_an_unknown_host_is_named(capsys, monkeypatch):
    """It may be known later: pods get their names when they run."""
    monkeypatch.setattr(rendezvous, "WAIT_SECONDS", 0)
    own, other = addresses(2)
    attempts = []
    real = socket.create_connection

    def connect(address, timeout):
        attempts.append(address)
        if len(attempts) < 3:
            raise socket.gaierror(socket.EAI_NONAME, "Name not known")
        return real(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    with listen(other):
        rendezvous.wait_for_all([own, other], own)
    host, port = other.split(":")
    assert attempts == [(host, int(port))] * 3
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"waiting for workers: {other} (Name not known)"


def test_a_port_in_use_is_reported():
    own, other = addresses(2)
    with (
        listen(own),
        pytest.raises(UserError, match="by its own port") as found,
    ):
        rendezvous.wait_for_all([own, other], own)
    assert f"received {own}: another process uses it" in str(found.value)


@pytest.mark.parametrize("wrong", ["host", "host:", ":1", "host:x", "host:0"])
def test_an_address_needs_a_host_and_a_port(wrong):
    own = addresses(1)[0]
    with pytest.raises(ValueError, match=f"{wrong}' is not host:port"):
        rendezvous.wait_for_all([own, wrong], own)
