"""One connection of HTTP: what it may send, how long, and how it ends.

Waitress reads a request before a thread takes it, so slow clients hold none.
"""

import socket
import time

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from export.serving.rest import ARRIVED, error_body

# Of a body whose length is known, a read may take much. All else is parsed by
# the thread that serves every connection: in small pieces, so that none waits.
_BODY_BYTES = 2**18
_PARSED_BYTES = 2**13
# Chunked bodies: a size or trailer without end, and chunks of a byte each,
# would be copied again with every read.
_LONGEST_LINE = 2**13
_FREE_OVERHEAD = 2**16
_SLOWEST = 2**16  # bytes a second that a large request or answer must move
_IDLE_SECONDS = 120.0  # between two requests


class RequestTimeoutError(Error):
    """408: the request did not arrive in time."""

    code = 408
    reason = "Request Timeout"


class TooManyRequestsError(Error):
    """429: the client's others have not been answered yet."""

    code = 429
    reason = "Too Many Requests"


class _Task(WSGITask):
    def get_environment(self) -> dict:
        environment = super().get_environment()
        environment[ARRIVED] = self.request.arrived
        return environment

    def build_response_header(self) -> bytes:
        self.channel.answers(self.content_length)
        if self.channel.server.draining:
            self.set_close_on_finish()
        return super().build_response_header()


class _ErrorTask(ErrorTask):
    """What is refused before the application sees it, as the protocol does."""

    def execute(self) -> None:
        error = self.request.error
        body = error_body(f"{error.reason}: {error.body}")
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        if error.code == TooManyRequestsError.code:
            self.response_headers.append(("Retry-After", "1"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.answers(len(body))
        self.write(body)


class _Parser(HTTPRequestParser):
    """A request that arrives; times are of `time.monotonic`."""

    def __init__(self, adj):
        super().__init__(adj)
        self.begun = self.arrived = time.monotonic()

    def received(self, data: bytes) -> int:
        consumed = super().received(data)
        if isinstance(self.body_rcv, ChunkedReceiver) and not self.completed:
            self._check_chunks(self.body_rcv)
        if self.error:
            # Who asked whether to send the body is told no.
            self.expect_continue = False
        if isinstance(self.error, RequestEntityTooLarge):
            most = self.adj.max_request_body_size - 1  # it is open
            self.error.body = (
                f"a request must have at most {most} bytes "
                "(--max_request_bytes)"
            )
        if self.completed:
            self.arrived = time.monotonic()
            if not self.empty and data[consumed:].strip():
                # Somebody sends on without waiting. A connection may end
                # with any answer; else its next requests would hold the
                # thread that this answer needs to be sent.
                self.headers["CONNECTION"] = "close"
                return len(data)
        return consumed

    def _check_chunks(self, receiver: ChunkedReceiver) -> None:
        body = len(receiver)
        line = max(len(receiver.control_line), len(receiver.trailer))
        overhead = self.body_bytes_received - body
        if line > _LONGEST_LINE or overhead > body + _FREE_OVERHEAD:
            self.error = BadRequest("chunks must be larger than their sizes")
            self.completed = True


class Channel(HTTPChannel):
    """A connection.

    Attributes:
      since: of `time.monotonic`, when it was opened or last answered.
      answered: whether it ever was.
    """

    task_class = _Task
    error_task_class = _ErrorTask
    parser_class = _Parser

    def __init__(self, server, sock, addr, adj, map=None):
        super().__init__(server, sock, addr, adj, map)
        self.since = time.monotonic()
        self.answered = False
        self._answer_bytes = 0
        self._lingers = False

    @property
    def in_hand(self) -> bool:
        """Whether a request runs or waits, or its answer is not taken yet."""
        return bool(self.requests or self.total_outbufs_len)

    @property
    def has_share(self) -> bool:
        """Whether it counts for its address: what is refused does not.

        Else slow clients, who are refused many at a time, would use up the
        share of others.
        """
        refused = any(request.error for request in list(self.requests))
        return self.in_hand and not refused

    def answers(self, size: int | None) -> None:
        """An answer of so many bytes begins."""
        self.since = time.monotonic()
        self.answered = True
        self._answer_bytes = size or 0

    def recv(self, buffer_size: int) -> bytes:
        body = self.request and self.request.body_rcv
        if self._lingers:
            buffer_size = _BODY_BYTES
        elif isinstance(body, FixedStreamReceiver):
            buffer_size = min(body.remain, _BODY_BYTES)
        else:
            buffer_size = _PARSED_BYTES
        return super().recv(buffer_size)

    def received(self, data: bytes) -> bool:
        return not self._lingers and super().received(data)

    def readable(self) -> bool:
        # A socket that is closed must not be polled: a new one may get its
        # number before its events are seen.
        return self.socket is not None and (self._lingers or super().readable())

    def writable(self) -> bool:
        return self.socket is not None and super().writable()

    def handle_write(self) -> None:
        """Sends; after the last answer, waits for the client to leave.

        A client that is still sending when its connection closes would see
        a broken pipe instead of the answer.
        """
        ends = self.close_when_flushed
        if ends:  # only then: a thread may set it at any time
            self.close_when_flushed = False
        super().handle_write()
        if not ends or self.socket is None:
            return
        if self.total_outbufs_len:
            self.close_when_flushed = True
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
            self._lingers = True
        except OSError:
            self.handle_close()

    def end_if_overdue(self, now: float, seconds: float) -> None:
        """Refuses or closes what takes longer than it may."""
        if self.requests:
            return
        waited = now - self.since
        if self.total_outbufs_len:
            # Who reads nothing would never make the socket writable again.
            if waited > seconds + self._answer_bytes / _SLOWEST:
                self.handle_close()
        elif self._lingers:
            if waited > seconds:
                self.handle_close()
        elif self.request is None:
            if waited > (_IDLE_SECONDS if self.answered else seconds):
                self.handle_close()
        else:
            moved = self.request.body_bytes_received / _SLOWEST
            if now - self.request.begun > seconds + moved:
                self._refuse(
                    RequestTimeoutError(
                        f"it did not arrive within {seconds:g} s"
                    )
                )

    def _refuse(self, error: Error) -> None:
        """Answers a request that has not arrived."""
        with self.requests_lock:
            self.request.error = error
            self.request.completed = True
            self.requests.append(self.request)
            self.request = None
            self.server.add_task(self)
