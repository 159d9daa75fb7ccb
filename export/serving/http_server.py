"""HTTP/1.1 with kept connections and a bounded number of threads.

Waitress reads a request before a thread takes it, so slow clients hold none.
"""

import functools
import logging
import socket
import threading
import time
from collections.abc import Callable

import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import RequestEntityTooLarge

from export.serving.rest import error_body

_MOST_CONNECTIONS = 1000
_BUFFER = 64 * 2**20  # answers up to this size stay in memory
_MOST_DROPPED = 256 * 2**20
_GRACE_SECONDS = 0.1  # at the end, for who has just connected
_READ_SECONDS = 5.0  # at the end, for requests that are half sent


class _Task(WSGITask):
    def build_response_header(self) -> bytes:
        if self.channel.server.draining:
            self.set_close_on_finish()
        return super().build_response_header()


class _ErrorTask(ErrorTask):
    """What waitress itself refuses (a body too large), as the protocol does."""

    def execute(self) -> None:
        error = self.request.error
        body = error_body(f"{error.reason}: {error.body}")
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Parser(HTTPRequestParser):
    """Reads a refused body to its end and drops it.

    A client that is still sending when the connection closes would see a
    broken pipe instead of the answer.
    """

    _left = 0

    def received(self, data: bytes) -> int:
        if self._left:
            dropped = min(len(data), self._left)
            self._left -= dropped
            self.completed = not self._left
            return dropped
        consumed = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge) and not self.chunked:
            # A client that asked first has not sent it, and need not.
            asked = self.expect_continue
            self.expect_continue = False
            if not asked and self.content_length <= _MOST_DROPPED:
                self._left = self.content_length
                self.completed = False
        return consumed


class _Channel(HTTPChannel):
    task_class = _Task
    error_task_class = _ErrorTask
    parser_class = _Parser


class HttpServer:
    """A WSGI application on a bound socket, in a thread of its own."""

    def __init__(
        self,
        application: Callable,
        bound: socket.socket,
        threads: int,
        max_request_bytes: int,
    ):
        # It warns of every request that has to wait for a thread.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._map: dict = {}
        self._server = waitress.create_server(
            application,
            map=self._map,
            sockets=[bound],
            threads=threads,
            max_request_body_size=max_request_bytes + 1,  # its limit is open
            connection_limit=_MOST_CONNECTIONS,
            asyncore_use_poll=True,
            recv_bytes=2**16,
            outbuf_overflow=_BUFFER,
            ident=None,
            log_socket_errors=False,  # clients may leave when they like
            _start=False,
        )
        self._server.channel_class = _Channel
        self._server.draining = False
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        """Begins to accept connections."""
        self._server.accept_connections()
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Accepts no more, ends what is running, closes all connections.

        Returns:
          Whether every request was answered within so many seconds.
        """
        if not self._thread.is_alive():
            return True
        begin = time.monotonic()
        self._server.draining = True
        # Sockets belong to the server's own thread: it closes them.
        in_thread = self._server.trigger.pull_trigger
        in_thread(self._accept_no_more)
        time.sleep(_GRACE_SECONDS)
        while self._busy(since := time.monotonic() - begin) and since < seconds:
            time.sleep(0.01)
        done = not self._busy(since)
        in_thread(functools.partial(wasyncore.close_all, self._map))
        self._thread.join(1.0)
        self._server.task_dispatcher.shutdown(timeout=1)
        return done

    def _accept_no_more(self) -> None:
        """Accepts who has connected already, and then nobody."""
        before = -1
        while before < len(self._map):
            before = len(self._map)
            self._server.handle_accept()
        wasyncore.dispatcher.close(self._server)

    def _busy(self, since: float) -> bool:
        # A client that never ends its request must not keep the server.
        return any(
            channel.requests
            or channel.total_outbufs_len
            or (channel.request and since < _READ_SECONDS)
            for channel in list(self._server.active_channels.values())
        )
