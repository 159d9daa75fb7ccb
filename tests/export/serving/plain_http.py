"""A small application to serve, and plain HTTP to it."""

import contextlib
import http.client
import socket
import threading
import time

from werkzeug import Request, Response

from export.serving.limits import Limits
from export.serving.rest import ARRIVED

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
        if request.path == "/age":
            age = time.monotonic() - environ[ARRIVED]
            return Response(str(age))(environ, start_response)
        if request.path == "/fault":
            raise ArithmeticError
        text = str(len(request.get_data()))
        return Response(text)(environ, start_response)


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


def raw(port, content=b"", source="127.0.0.1"):
    """A plain connection that has sent something."""
    link = socket.create_connection(
        ("127.0.0.1", port), timeout=20, source_address=(source, 0)
    )
    link.sendall(content)
    return contextlib.closing(link)


def is_open(link):
    """Whether the server has not closed it, or said something before."""
    link.setblocking(False)
    try:
        return bool(link.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
