"""Workers wait for one another by their ports."""

import concurrent.futures
import re
import socket
import threading

import pytest

from attngan_tf.config import UserError
from attngan_tf.training import rendezvous
from tests.ports import free_ports


def addresses(count: int) -> list[str]:
    return [f"localhost:{port}" for port in free_ports(count)]


def listen(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_server((host, int(port)))


def test_all_go_on_when_all_are_there(capsys):
    places = addresses(3)
    met = threading.Barrier(3, timeout=60)

    def work(own):
        rendezvous.wait_for_all(places, own)
        with listen(own):  # as TensorFlow does then
            met.wait()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = [pool.submit(work, places[0])]
        done, _ = concurrent.futures.wait(found, 3 * rendezvous.WAIT_SECONDS)
        assert not done
        assert met.n_waiting == 0
        found += [pool.submit(work, own) for own in places[1:]]
        for future in found:
            future.result()
    said = capsys.readouterr().out
    told = re.match(rf"waiting for workers: {places[1]} \((.+?)\), ", said)
    assert told
    assert "refused" in told[1]


def test_a_host_that_nobody_knows_is_named(capsys, monkeypatch):
    """It may be known later: pods get their names when they run."""
    monkeypatch.setattr(rendezvous, "WAIT_SECONDS", 0)
    own, other = addresses(2)
    looks = []
    real = socket.create_connection

    def connect(address, timeout):
        looks.append(address)
        if len(looks) < 3:
            return real(("no.such.host.invalid", 1), timeout)
        return real(address, timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    with listen(other):
        rendezvous.wait_for_all([own, other], own)
    host, port = other.split(":")
    assert looks == [(host, int(port))] * 3
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"waiting for workers: {other} (")
    assert "refused" not in line


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
