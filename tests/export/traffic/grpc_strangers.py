"""Strangers at the gRPC end."""

import asyncio
import random
import struct

import grpc

from tests.export.traffic import wire
from tests.export.traffic.kinds import CLOSED, LEFT, Target, kind

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4
STREAMS = 200


def frame(kind_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""
    head = struct.pack(">I", len(payload))[1:] + bytes([kind_, flags])
    return head + struct.pack(">I", stream) + payload


def call_headers(stream: int) -> bytes:
    """HEADERS of a call, as literals (RFC 7541, section 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": PREDICT,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(
        b"\0"
        + bytes([len(name)])
        + name.encode()
        + bytes([len(value)])
        + value.encode()
        for name, value in fields.items()
    )
    return frame(HEADERS, END_HEADERS, stream, block)


async def hold(target: Target, *frames: bytes, seconds: float = 15.0) -> str:
    """Speaks HTTP/2, says it, and waits; acknowledges the settings."""
    async with wire.connected(target.grpc) as (reader, writer):
        writer.write(PREFACE + frames[0] + frame(SETTINGS, ACK, 0))
        writer.write(b"".join(frames[1:]))
        try:
            await asyncio.wait_for(wire.to_the_end(reader), seconds)
        except asyncio.TimeoutError:
            return LEFT
        return CLOSED


@kind("gRPC: no HTTP/2", CLOSED, workers=2)
async def no_http2(target: Target) -> str:
    content = random.choice(
        [
            random.randbytes(2000),
            wire.request("/v1/models/toy", b"", "GET"),
            PREFACE + random.randbytes(2000),
            PREFACE + frame(SETTINGS, 0, 0) + random.randbytes(2000),
        ]
    )
    async with wire.connected(target.grpc) as (reader, writer):
        writer.write(content)
        await wire.to_the_end(reader)
        return CLOSED


@kind("gRPC: streams without a message", LEFT, CLOSED, workers=4)
async def no_message(target: Target) -> str:
    streams = (call_headers(2 * k + 1) for k in range(STREAMS))
    return await hold(target, frame(SETTINGS, 0, 0), *streams)


@kind("gRPC: streams reset at once", LEFT, CLOSED, pause=10.0)
async def resets(target: Target) -> str:
    streams = []
    for stream in range(1, 2 * STREAMS, 2):
        streams.append(call_headers(stream))
        streams.append(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
    return await hold(target, frame(SETTINGS, 0, 0), *streams, seconds=5.0)


@kind("gRPC: answers never read", LEFT, CLOSED, workers=2)
async def no_window(target: Target) -> str:
    window = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
    message = b"\0" + struct.pack(">I", len(target.predict)) + target.predict
    calls = []
    for stream in (1, 3):
        calls.append(call_headers(stream))
        calls.append(frame(DATA, END_STREAM, stream, message))
    return await hold(target, window, *calls)


async def call(
    target: Target, message: bytes, method: str = PREDICT, **options
) -> str:
    """A call of gRPC's own client: the code of its end."""
    where = f"127.0.0.1:{target.grpc}"
    settings = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(where, settings, **options) as channel:
        try:
            await channel.unary_unary(method)(message, timeout=30)
            return "OK"
        except grpc.aio.AioRpcError as error:
            return error.code().name


@kind("gRPC: a message too large", "RESOURCE_EXHAUSTED", pause=4.0)
async def large_message(target: Target) -> str:
    # Of zeros: compressed it is small.
    packed = random.choice(
        [grpc.Compression.NoCompression, grpc.Compression.Gzip]
    )
    message = bytes(10 * target.request_bytes)
    return await call(target, message, compression=packed)


@kind("gRPC: bad messages", "INVALID_ARGUMENT", "NOT_FOUND", pause=0.5)
async def bad_message(target: Target) -> str:
    good = target.predict
    message = random.choice(
        [b"", random.randbytes(1000), good[: len(good) // 2], good[::-1]]
    )
    return await call(target, message)


@kind("gRPC: unknown methods", "UNIMPLEMENTED", pause=0.5)
async def unknown_method(target: Target) -> str:
    method = random.choice(
        [
            "/nobody/Nothing",
            "/../etc/passwd",
            f"{PREDICT}s",
            PREDICT[:-7] + "Regress",
        ]
    )
    return await call(target, b"", method)


@kind("gRPC: calls taken back", LEFT, pause=0.5)
async def taken_back(target: Target) -> str:
    task = asyncio.create_task(call(target, target.predict))
    await asyncio.sleep(random.random() / 50)
    task.cancel()
    await asyncio.wait([task])
    return LEFT
