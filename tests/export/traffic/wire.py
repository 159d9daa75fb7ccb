"""HTTP as bytes: whole, in pieces, slowly, or cut off."""

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable

from tests.export.traffic.kinds import CLOSED, LEAK, Target

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST


@contextlib.asynccontextmanager
async def connected(
    port: int, source: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of this machine's address `source`."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(source, 0)
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def request(
    path: str, body: bytes = b"", verb: str = "POST", *headers: str
) -> bytes:
    """A request; a Host among `headers` takes the place of the usual one."""
    lines = [f"{verb} {path} HTTP/1.1", *headers]
    if not any(line.startswith("Host:") for line in headers):
        lines.append("Host: localhost")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def predict(model: str, document, *headers: str) -> bytes:
    """A prediction of a JSON document."""
    path = f"/v1/models/{model}:predict"
    return request(path, json.dumps(document).encode(), "POST", *headers)


async def answer(reader: asyncio.StreamReader, target: Target) -> str:
    """The status of the answer, once all of it came."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(LENGTH.search(head)[1]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return CLOSED
    content = head + body
    if any(secret in content for secret in target.secrets):
        return LEAK
    if b"access-control-allow" in head.lower():
        return LEAK
    return STATUS.match(head)[1].decode()


async def to_the_end(reader: asyncio.StreamReader) -> None:
    """Reads until the other side closes."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(2**16):
            pass


async def ask(target: Target, *pieces: bytes, source: str = "") -> str:
    """Sends it and waits for the answer.

    Who sends whole requests has any address but the good clients', who would
    share the limit of theirs.
    """
    source = source or f"127.0.1.{random.randrange(1, 255)}"
    try:
        async with connected(target.rest, source) as (reader, writer):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await answer(reader, target)
    except ConnectionError:
        return CLOSED


async def drip(
    target: Target, begin: bytes, rest: Iterable[bytes], pause: float = 1.0
) -> str:
    """Sends the beginning, and then a piece a second, while it may."""
    async with connected(target.rest) as (reader, writer):
        answered = asyncio.create_task(answer(reader, target))
        writer.write(begin)
        for piece in rest:
            done, _ = await asyncio.wait([answered], timeout=pause)
            if done:
                break
            writer.write(piece)
        return await answered


async def leave(
    target: Target, content: bytes, until: Callable[[bytes], bool] | None
) -> None:
    """Sends it and is gone by RST, at once or when `until` has come."""
    async with connected(target.rest) as (reader, writer):
        link = writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.write(content)
        await writer.drain()
        seen = b""
        while until and not until(seen) and (part := await reader.read(1)):
            seen += part
