"""Connections, threads and the end of the HTTP server."""

import json
import time

import pytest
from plain_http import LIMIT, ask, connection


def test_a_connection_serves_many_requests(start):
    _, port = start()
    with connection(port) as link:
        link.connect()
        first = link.sock.getsockname()
        for size in (0, 10, LIMIT):
            link.request("POST", "/", b"x" * size)
            assert link.getresponse().read() == str(size).encode()
            assert link.sock.getsockname() == first


def test_what_the_library_refuses_is_json(start):
    _, port = start()
    status, body = ask(port, body=b"x" * (LIMIT + 1))
    assert status == 413
    assert json.loads(body) == {
        "error": "Request Entity Too Large: a request must have at most "
        f"{LIMIT} bytes (--max_request_bytes)"
    }
    status, body = ask(port, "/fault")
    assert status == 500
    assert list(json.loads(body)) == ["error"]
    assert ask(port) == (200, b"0")


def test_a_body_far_too_large_is_read_and_refused(start):
    _, port = start()
    status, body = ask(port, body=b"x" * 30_000_000)
    assert status == 413
    assert "error" in json.loads(body)


def test_a_client_that_asks_first_need_not_send(start):
    _, port = start()
    with connection(port) as link:
        link.connect()
        link.sock.sendall(
            b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert link.sock.recv(12) == b"HTTP/1.1 413"


def test_a_chunked_body_is_limited_too(start):
    _, port = start()
    with connection(port) as link:
        chunks = [b"x" * 600, b"y" * 600]
        link.request("POST", "/", iter(chunks), encode_chunked=True)
        assert link.getresponse().status == 413


def test_a_slow_client_holds_no_thread(start):
    _, port = start(threads=1)
    with connection(port) as slow:
        slow.connect()
        slow.sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123")
        assert ask(port, body=b"ab") == (200, b"2")
        slow.sock.sendall(b"456789")
        assert b"200" in slow.sock.recv(100)


def test_a_client_that_does_not_read_holds_no_thread(start):
    _, port = start(threads=1)
    with connection(port) as slow:
        slow.request("GET", "/large")
        assert ask(port) == (200, b"0")
        assert len(slow.getresponse().read()) == 20_000_000


def test_the_threads_are_bounded(start, app, pool):
    _, port = start(threads=2)
    waiting = [pool.submit(ask, port, "/wait") for _ in range(3)]
    for _ in range(2):
        assert app.entered.acquire(timeout=10)
    assert not app.entered.acquire(timeout=0.1)
    app.gate.set()
    assert {future.result(10)[0] for future in waiting} == {200}


def test_stopping_lets_requests_finish_and_closes_connections(start, app, pool):
    server, port = start()
    with connection(port) as idle:
        idle.request("GET", "/")
        idle.getresponse().read()
        running = pool.submit(ask, port, "/wait")
        assert app.entered.acquire(timeout=10)
        ended = pool.submit(server.stop, 20)
        time.sleep(0.1)
        with pytest.raises(ConnectionError):
            ask(port)
        assert not ended.done()
        app.gate.set()
        assert running.result(10) == (200, b"0")
        assert ended.result(10)
        assert idle.sock.recv(1) == b""


def test_stopping_takes_no_longer_than_told(start, app, pool):
    server, port = start()
    running = pool.submit(ask, port, "/wait")
    assert app.entered.acquire(timeout=10)
    begin = time.monotonic()
    assert not server.stop(0.1)
    assert time.monotonic() - begin < 5
    with pytest.raises(ConnectionError):
        running.result(10)
