"""Connections, threads and the end of the HTTP server."""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import threading
import time

import pytest
from werkzeug import Request, Response

from export.serving import ports
from export.serving.http_server import HttpServer
from export.serving.limits import Limits

LIMIT = 1000
LIMITS = Limits(request_bytes=LIMIT, connections=50, requests=8, seconds=30)


class App:
    """Says how many bytes came; /wait answers once the gate is open."""

    def __init__(self):
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, environ, start_response):
        request = Request(environ)
        if request.path == "/wait":
            self.entered.release()
            self.gate.wait(20)
        if request.path == "/large":
            return Response(b"x" * 20_000_000)(environ, start_response)
        if request.path == "/fault":
            raise ArithmeticError
        text = str(len(request.get_data()))
        return Response(text)(environ, start_response)


@pytest.fixture
def app():
    return App()


@pytest.fixture
def start(app):
    """Starts a server with so many threads; returns it and its port."""
    servers = []

    def start(threads=2, **limits):
        bound = ports.bind("rest_api_port", "127.0.0.1", 0)
        changed = dataclasses.replace(LIMITS, **limits)
        server = HttpServer(app, bound, threads, changed)
        server.start()
        servers.append(server)
        return server, bound.getsockname()[1]

    yield start
    app.gate.set()
    for server in servers:
        server.stop(5)


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool


@contextlib.contextmanager
def connection(port):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(link):
        yield link


def ask(port, path="/", body=b""):
    with connection(port) as link:
        link.request("POST", path, body)
        response = link.getresponse()
        return response.status, response.read()


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
    assert list(json.loads(body)) == ["error"]
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
