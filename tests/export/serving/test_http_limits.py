"""What strangers may take of the HTTP server."""

import contextlib
import json
import socket
import time

import pytest
from plain_http import ask, connection, is_open, raw
from server_process import wait_for

from export.serving import http_channel


@pytest.mark.parametrize(
    "begin",
    [
        b"POST / HTTP/1.1\r\nA: ",
        b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n",
    ],
)
def test_a_request_must_arrive_in_time(start, begin):
    _, port = start(seconds=0.5)
    with raw(port, begin) as slow:
        until = time.monotonic() + 10
        while is_open(slow) and time.monotonic() < until:
            slow.send(b"x")  # it is never silent
            time.sleep(0.1)
            with contextlib.suppress(BlockingIOError):
                # Half a header does not tell the version yet.
                seen = slow.recv(12, socket.MSG_PEEK)
                assert seen.endswith(b" 408")
                return
    pytest.fail("it was never answered")


def test_a_silent_connection_is_closed(start):
    _, port = start(seconds=0.5)
    with raw(port) as silent:
        assert silent.recv(1) == b""


def test_an_answer_must_be_taken_in_time(start, monkeypatch):
    monkeypatch.setattr(http_channel, "_SLOWEST", 10**9)
    server, port = start(seconds=0.5)
    with raw(port, b"GET /large HTTP/1.1\r\n\r\n"):
        wait_for(lambda: server._server.active_channels, 10)
        wait_for(lambda: not server._server.active_channels, 10)


def test_idle_connections_make_room_for_others(start):
    _, port = start(connections=20)
    with connection(port) as kept, contextlib.ExitStack() as stack:
        kept.request("POST", "/", b"a")
        assert kept.getresponse().read() == b"1"
        half = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na"
        uploading = stack.enter_context(raw(port, half))
        idle = []
        for _ in range(100):
            idle.append(stack.enter_context(raw(port)))
            assert ask(port, body=b"ab") == (200, b"2")
        assert sum(map(is_open, idle)) <= 20
        assert is_open(idle[-1])
        uploading.sendall(b"bc")
        assert uploading.recv(12) == b"HTTP/1.1 200"
        kept.request("POST", "/", b"abcd")
        assert kept.getresponse().read() == b"4"


def test_a_crowd_ends_its_own_connections(start):
    _, port = start(connections=20)
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(raw(port, source="127.0.0.2"))
        for _ in range(100):
            stack.enter_context(raw(port))
        assert ask(port) == (200, b"0")
        assert is_open(other)


def test_a_connection_that_is_closed_is_not_polled(start):
    server, port = start()
    with raw(port):
        wait_for(lambda: server._server.active_channels, 10)
        (channel,) = server._server.active_channels.values()
    wait_for(lambda: channel.socket is None, 10)
    channel.close_when_flushed = True
    assert not channel.readable()
    assert not channel.writable()


def test_an_address_has_its_share_of_requests(start, app, pool):
    _, port = start(threads=4, requests=2)
    waiting = [pool.submit(ask, port, "/wait") for _ in range(2)]
    for _ in range(2):
        assert app.entered.acquire(timeout=10)
    with connection(port) as link:
        link.request("POST", "/")
        response = link.getresponse()
        assert response.status == 429
        assert response.headers["Retry-After"] == "1"
        assert list(json.loads(response.read())) == ["error"]
    get = b"GET / HTTP/1.1\r\n\r\n"
    with raw(port, get, source="127.0.0.2") as other:
        assert other.recv(12) == b"HTTP/1.1 200"
    app.gate.set()
    assert {future.result(10)[0] for future in waiting} == {200}
    assert ask(port) == (200, b"0")


def test_what_is_refused_takes_no_share(start, app, pool):
    server, port = start(threads=1, requests=4, seconds=0.5)
    waiting = pool.submit(ask, port, "/wait")
    assert app.entered.acquire(timeout=10)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(raw(port, b"POST / HTTP/1.1\r\nA: "))
        channels = server._server.active_channels

        def refused():
            return sum(bool(x.requests) for x in list(channels.values())) == 11

        wait_for(refused, 10)
        good = pool.submit(ask, port, "/", b"ab")
        wait_for(lambda: len(channels) == 12, 10)
        time.sleep(0.2)  # it has arrived, too
        app.gate.set()
        assert good.result(10) == (200, b"2")
    assert waiting.result(10) == (200, b"0")


def test_requests_sent_without_waiting_hold_no_thread(start):
    _, port = start(threads=1)
    with raw(port, b"GET /large HTTP/1.1\r\n\r\n" * 3):
        assert ask(port) == (200, b"0")
    with raw(port, b"GET / HTTP/1.1\r\n\r\n" * 3) as link:
        answers = b"".join(iter(lambda: link.recv(1000), b""))
    assert answers.count(b"HTTP/1.1 200") == 1
    assert b"\r\nConnection: close\r\n" in answers


@pytest.mark.parametrize(
    "chunks",
    [
        b"1" * 20_000,
        b"1;" + b"a" * 20_000,
        b"0\r\n" + b"A: b\r\n" * 5_000,
        b"1\r\na\r\n" * 50_000,
    ],
)
def test_chunks_are_not_endless(start, chunks):
    _, port = start(request_bytes=10**6)
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw(port, head + chunks) as link:
        assert link.recv(12) == b"HTTP/1.1 400"


def test_chunks_far_too_large_are_read_and_refused(start):
    _, port = start()
    with connection(port) as link:
        chunks = [b"x" * 2**16] * 200
        link.request("POST", "/", iter(chunks), encode_chunked=True)
        assert link.getresponse().status == 413


def test_a_request_knows_when_it_had_arrived(start, app, pool):
    _, port = start(threads=1)
    waiting = pool.submit(ask, port, "/wait")
    assert app.entered.acquire(timeout=10)
    late = pool.submit(ask, port, "/age")
    time.sleep(0.5)
    app.gate.set()
    assert waiting.result(10) == (200, b"0")
    assert 0.4 < float(late.result(10)[1]) < 5
