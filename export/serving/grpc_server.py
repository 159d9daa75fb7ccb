"""gRPC's end: connections, streams and threads, all bounded.

asyncio receives a request before a thread takes it. In gRPC's own thread pool
a stream whose message never comes holds a thread, and as many as there are
threads, all of which one connection may open, stop the server.
"""

import asyncio
import collections
import functools
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent import futures

import grpc

from export.serving.errors import Code, ServingError, exhausted
from export.serving.limits import GRPC_SHARE, Limits

# A method: from a request's bytes and its deadline (of `time.monotonic`; None:
# no limit) to the answer's.
Method = Callable[[bytes, float | None], bytes]

_UNLIMITED = -1
_A_YEAR = 365 * 24 * 3600.0  # a deadline beyond it stands for none
_HANDSHAKE_MS = 5_000  # for what HTTP/2 says first
_IDLE_MS = 120_000
# Who answers no ping is gone. Who reads no answer is told to reconnect, and
# after the grace is gone, too; clients do it unasked.
_PING_AFTER_MS, _PING_MS = 30_000, 10_000
_AGE_MS, _AGE_GRACE_MS = 600_000, 60_000


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.request_bytes),
        ("grpc.max_send_message_length", _UNLIMITED),
        # Two servers must not share a port unawares.
        ("grpc.so_reuseport", 0),
        (
            "grpc.max_allowed_incoming_connections",
            GRPC_SHARE * limits.connections,
        ),
        # One more waits in its client; each also counts for its address.
        ("grpc.max_concurrent_streams", limits.requests),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.http2.settings_timeout", _HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.max_connection_age_ms", _AGE_MS),
        ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
        ("grpc.keepalive_time_ms", _PING_AFTER_MS),
        ("grpc.keepalive_timeout_ms", _PING_MS),
    ]


def _deadline(context: grpc.aio.ServicerContext) -> float | None:
    left = context.time_remaining()
    limited = left is not None and left < _A_YEAR
    return time.monotonic() + left if limited else None


class GrpcServer:
    """Services on a port, in a thread of its own.

    Args:
      services: methods by name, by their service's name.
      threads: requests worked on at once.
      limits: see `Limits`; `seconds` is for HTTP, gRPC's clients bring
        their own.
    """

    def __init__(
        self,
        services: Mapping[str, Mapping[str, Method]],
        threads: int,
        limits: Limits,
    ):
        # It tells every client that leaves before its answer, in ten lines.
        # What our methods raise, they tell.
        logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
        self._most = limits.requests
        self._in_hand = collections.Counter()  # requests, by address
        self._pool = futures.ThreadPoolExecutor(threads)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True
        )
        self._thread.start()
        self._server = self._wait_for(self._make(services, limits))

    def _wait_for(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _make(self, services, limits: Limits) -> grpc.aio.Server:
        server = grpc.aio.server(options=_options(limits))
        for name, methods in services.items():
            handlers = {
                key: grpc.unary_unary_rpc_method_handler(self._handler(method))
                for key, method in methods.items()
            }
            server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler(name, handlers)]
            )
        return server

    def _handler(self, method: Method) -> Callable:
        async def answer(request: bytes, context) -> bytes:
            try:
                work = functools.partial(
                    _told, method, request, _deadline(context)
                )
                return await asyncio.wrap_future(self._begin(context, work))
            except ServingError as error:
                fault = error
            return await context.abort(fault.code, fault.message)

        return answer

    def _begin(
        self, context: grpc.aio.ServicerContext, work: Callable[[], bytes]
    ) -> futures.Future:
        """Gives a request to the threads, or refuses it.

        It counts until its answer is taken, and one that is taken back until
        its thread has ended: nobody stops that.
        """
        address = context.peer().rpartition(":")[0]
        if self._in_hand[address] >= self._most:
            raise exhausted(
                f"an address may have {self._most} requests that are not "
                "answered yet"
            )
        future = self._pool.submit(work)
        self._in_hand[address] += 1

        def ended(_) -> None:  # in any thread
            self._loop.call_soon_threadsafe(self._count_down, address)

        context.add_done_callback(lambda _: future.add_done_callback(ended))
        return future

    def _count_down(self, address: str) -> None:
        self._in_hand[address] -= 1
        if not self._in_hand[address]:
            del self._in_hand[address]

    def add_port(self, address: str) -> int:
        """Listens at host:port, and returns the port; 0 picks a free one.

        Raises:
          RuntimeError: the port is in use.
        """

        async def add() -> int:
            return self._server.add_insecure_port(address)

        return self._wait_for(add())

    def start(self) -> None:
        """Begins to accept requests."""
        self._wait_for(self._server.start())

    def stop(self, seconds: float) -> futures.Future:
        """Accepts no more, and cuts off what runs longer than that.

        Returns:
          What is done when everything has ended.
        """
        return asyncio.run_coroutine_threadsafe(self._end(seconds), self._loop)

    async def _end(self, seconds: float) -> None:
        await self._server.stop(seconds)
        self._pool.shutdown(wait=False)


def _told(method: Method, request: bytes, deadline: float | None) -> bytes:
    try:
        return method(request, deadline)
    except ServingError:
        raise
    except Exception:  # a fault of ours: the client gets one line, too
        traceback.print_exc()
        raise ServingError(Code.INTERNAL, "internal error") from None
