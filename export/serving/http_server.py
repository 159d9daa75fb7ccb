"""A WSGI application behind waitress."""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator

import waitress

_MAX_CONNECTIONS = 1000
_THREADS = 32  # requests processed at once
_QUIET_SECONDS = 0.3  # a drain ends after so long without a request


class HttpServer:
    """Answers in threads, and can be drained.

    Args:
      application: the WSGI application.
      bound: the socket to listen on.
      max_bytes: maximum size of a request's body; larger ones are answered
        with 413.
      timeout: seconds after which an idle connection is closed.
    """

    def __init__(
        self,
        application: Callable,
        bound: socket.socket,
        max_bytes: int,
        timeout: float,
    ):
        # waitress warns of every request that waits for a thread.
        for name in ("waitress", "waitress.queue"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._application = application
        self._lock = threading.Lock()
        self._running = 0
        self._draining = False
        self._server = waitress.create_server(
            self._answer,
            sockets=[bound],
            threads=_THREADS,
            max_request_body_size=max_bytes + 1,  # the smallest size refused
            channel_timeout=math.ceil(timeout),
            cleanup_interval=1,
            connection_limit=_MAX_CONNECTIONS,
            asyncore_use_poll=True,  # select() fails beyond 1,024 files
            log_socket_errors=False,  # clients may leave
            ident=None,
        )

    def start(self) -> None:
        """Starts a thread that answers."""
        threading.Thread(target=self._server.run, daemon=True).start()

    def _answer(self, environ: dict, start_response: Callable) -> Iterator:
        """Waitress closes the iterator when it has written the answer."""
        if self._draining:
            start_response("503 Service Unavailable", [])
            yield b'{"error": "the server is stopping"}'
            return
        with self._lock:
            self._running += 1
        try:
            yield from self._application(environ, start_response)
        finally:
            with self._lock:
                self._running -= 1

    def drain(self, seconds: float) -> bool:
        """Refuses new requests with 503, and waits for running ones.

        Returns:
          Whether all of them were answered within `seconds`.
        """
        self._draining = True
        busy_at = begin = time.monotonic()
        while time.monotonic() - busy_at < _QUIET_SECONDS:
            time.sleep(0.02)
            if self._running:
                busy_at = time.monotonic()
            if busy_at - begin > seconds:
                return False
        return True
