"""HTTP/1.1 with kept connections, and bounded numbers of these and threads."""

import collections
import functools
import heapq
import logging
import socket
import threading
import time
from collections.abc import Callable

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from export.serving.http_channel import Channel, TooManyRequestsError
from export.serving.limits import Limits

_HEADER_BYTES = 2**14
_WAITING_CONNECTIONS = 4096  # in the kernel, until they are accepted
_MOST_ACCEPTED = 100  # at once
_ANSWER_IN_MEMORY = 64 * 2**20  # larger ones wait in a file
_GRACE_SECONDS = 0.1  # at the end, for who has just connected
_READ_SECONDS = 5.0  # at the end, for requests that are half sent


class _Listener(TcpWSGIServer):
    """Accepts connections, and ends those that ask for too much."""

    channel_class = Channel
    draining = False

    def __init__(
        self,
        application: Callable,
        bound: socket.socket,
        threads: int,
        limits: Limits,
    ):
        self._limits = limits
        self._room = max(1, min(_MOST_ACCEPTED, limits.connections // 10))
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(threads)
        super().__init__(
            application,
            map={},
            _start=False,
            _sock=bound,
            dispatcher=dispatcher,
            adj=Adjustments(
                sockets=[bound],
                backlog=_WAITING_CONNECTIONS,
                # The map holds the listening socket and the trigger, too.
                connection_limit=limits.connections + 2,
                cleanup_interval=1,
                max_request_header_size=_HEADER_BYTES,
                max_request_body_size=limits.request_bytes + 1,  # it is open
                asyncore_use_poll=True,
                outbuf_overflow=_ANSWER_IN_MEMORY,
                ident=None,
                log_socket_errors=False,  # clients may leave when they like
            ),
            sockinfo=(
                bound.family,
                bound.type,
                bound.proto,
                bound.getsockname(),
            ),
            bind_socket=False,
        )

    def readable(self) -> bool:
        self._make_room()
        return super().readable()

    def handle_accept(self) -> None:
        """Accepts all who wait, as far as there is room."""
        free = self._limits.connections - len(self.active_channels)
        for _ in range(min(free, self._room)):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:
                return

    def _make_room(self) -> None:
        """Closes connections of the most crowded address that ask for nothing.

        First who never sent anything, then who never sent a whole request,
        then who waits longest: new connections of strangers end their own,
        not those in use.

        It is done before the sockets are polled: an event of a connection
        that is closed between poll and accept would meet the new one, which
        has its number.
        """
        open_now = len(self.active_channels)
        excess = open_now + self._room - self._limits.connections
        if excess <= 0:
            return
        channels = list(self.active_channels.values())
        crowd = collections.Counter(channel.addr[0] for channel in channels)
        for channel in heapq.nsmallest(
            excess,
            (channel for channel in channels if not channel.in_hand),
            key=lambda channel: (
                -crowd[channel.addr[0]],
                channel.answered,
                channel.request is not None,
                channel.since,
            ),
        ):
            channel.handle_close()

    def add_task(self, task: Channel) -> None:
        """Takes a request that has arrived, or refuses it."""
        most = self._limits.requests
        if len(self.active_channels) > most and not task.requests[0].error:
            in_hand = sum(
                channel.addr[0] == task.addr[0] and channel.has_share
                for channel in list(self.active_channels.values())
            )
            if in_hand > most:
                task.requests[0].error = TooManyRequestsError(
                    f"an address may have {most} that are not answered yet"
                )
        super().add_task(task)

    def maintenance(self, now: float) -> None:
        for channel in list(self.active_channels.values()):
            channel.end_if_overdue(time.monotonic(), self._limits.seconds)


class HttpServer:
    """A WSGI application on a bound socket, in a thread of its own."""

    def __init__(
        self,
        application: Callable,
        bound: socket.socket,
        threads: int,
        limits: Limits,
    ):
        # It warns of requests that wait for a thread, and of every time that
        # no more connections are accepted.
        for name in ("waitress", "waitress.queue"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._server = _Listener(application, bound, threads, limits)
        self._map = self._server._map
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
            channel.in_hand or (channel.request and since < _READ_SECONDS)
            for channel in list(self._server.active_channels.values())
        )
