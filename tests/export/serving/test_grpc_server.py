"""What strangers may take of the gRPC server."""

import contextlib
import dataclasses
import threading

import grpc
import pytest
from server_process import wait_for
from test_grpc_api import LIMITS, http2

from export.serving.grpc_server import GrpcServer


@pytest.fixture
def open_server():
    """Starts a server of one method; returns its port."""
    servers = []

    def start(method, threads=1, **limits):
        changed = dataclasses.replace(LIMITS, **limits)
        server = GrpcServer({"s": {"M": method}}, threads, changed)
        servers.append(server)
        port = server.add_port("127.0.0.1:0")
        server.start()
        return port

    yield start
    for server in servers:
        server.stop(0).result()


@contextlib.contextmanager
def method_of(port):
    """The method, on a connection of its own."""
    alone = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", alone) as channel:
        yield channel.unary_unary("/s/M")


def test_a_fault_of_the_code_is_one_line(open_server, capsys):
    def method(request, deadline):
        raise ArithmeticError("private")

    with method_of(open_server(method)) as call:
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=10)
        assert raised.value.code() is grpc.StatusCode.INTERNAL
        assert raised.value.details() == "internal error"
    assert "private" in capsys.readouterr().err


def test_an_address_has_its_share_of_calls(open_server):
    gate, entered = threading.Event(), threading.Semaphore(0)

    def method(request, deadline):
        entered.release()
        gate.wait(20)
        return request

    port = open_server(method, requests=2)
    with method_of(port) as call, method_of(port) as other:
        waiting = [call.future(b"a", timeout=20) for _ in range(2)]
        assert entered.acquire(timeout=10)  # the other one waits for it

        def refused():
            try:
                other(b"", timeout=0.2)
            except grpc.RpcError as error:
                return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        wait_for(refused, 10)
        gate.set()
        assert [future.result() for future in waiting] == [b"a", b"a"]
        assert other(b"b", timeout=10) == b"b"


@pytest.fixture
def gated():
    """A method that waits for a gate, the gate, and whom it let begin."""
    gate, begun = threading.Event(), []

    def method(request, deadline):
        begun.append(request)
        gate.wait(20)
        return request

    yield method, gate, begun
    gate.set()


def code_of(call, seconds=10):
    try:
        call(b"", timeout=seconds)
    except grpc.RpcError as error:
        return error.code()


def test_calls_that_are_taken_back_count_while_they_run(open_server, gated):
    method, gate, begun = gated
    port = open_server(method, threads=8, requests=2)
    for turn in range(4):
        with method_of(port) as call:
            calls = [call.future(b"a", timeout=20) for _ in range(2)]

            def taken(calls=calls, count=2 * turn + 2):
                return len(begun) == count or all(x.done() for x in calls)

            wait_for(taken, 10)
            for one in calls:
                one.cancel()
    with method_of(port) as call:
        assert code_of(call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert begun == [b"a", b"a"]
        gate.set()
        wait_for(lambda: code_of(call) is None, 10)


def test_calls_that_are_taken_back_before_they_run_are_gone(open_server, gated):
    method, gate, begun = gated
    port = open_server(method, requests=2)
    late = grpc.StatusCode.DEADLINE_EXCEEDED
    with method_of(port) as call:
        first = call.future(b"a", timeout=20)
        wait_for(lambda: begun, 10)
        for _ in range(3):  # the second one's place is free again
            with method_of(port) as other:
                wait_for(lambda: code_of(other, 0.2) is late, 10)
        gate.set()
        assert first.result() == b"a"
        assert call(b"c", timeout=10) == b"c"
    assert begun.count(b"") <= 1  # the server hears of the last one's end late


def test_connections_are_bounded(open_server):
    port = open_server(lambda request, deadline: request, connections=1)
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(http2(port)) for _ in range(15)]

        def ended(link):
            # Each that is let in is greeted.
            try:
                return link.recv(1) == b""
            except ConnectionError:
                return True

        assert sum(map(ended, links)) == 5
