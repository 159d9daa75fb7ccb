"""An HTTP server whose answers a test chooses."""

import http.server
import json
import threading
from collections.abc import Callable
from typing import NamedTuple


class Request(NamedTuple):
    """What the server received."""

    path: str
    headers: dict[str, str]
    body: bytes


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        request = Request(self.path, dict(self.headers), body)
        self.server.requests.append(request)
        answer = self.server.answer(request)
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            self.close_connection = True
            return
        status, value, *headers = answer
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, text in dict(*headers).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        pass


class FakeServer(http.server.ThreadingHTTPServer):
    """Answers in threads until it is closed.

    Args:
      answer: from a Request to (status, value) or (status, value, headers),
        where a value that is not bytes is sent as JSON; or to the bytes of a
        whole answer, after which the connection is closed.

    Attributes:
      requests: a list of Request.
      closing: an Event, for answers that never come.
    """

    daemon_threads = True

    def __init__(self, answer: Callable):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests = []
        self.closing = threading.Event()
        self.address = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.serve_forever, args=[0.02]).start()

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass  # clients may leave
