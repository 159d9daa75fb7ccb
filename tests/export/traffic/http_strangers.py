"""Strangers at the HTTP end."""

import asyncio
import base64
import itertools
import json
import random
import socket

from tests.export.traffic import wire
from tests.export.traffic.kinds import CLOSED, LEFT, Target, kind

ONE_ADDRESS = "127.0.0.2"

BAD_JSON = [
    b"{",
    b"\xff\xfe\x00",
    b"null",
    b"[" * 100_000,
    b'{"instances": ["a"}',
    b'{"instances": [' + b"9" * 5000 + b"]}",
    b'{"instances": "\\ud800"}',
    b'{"instances": [' + b'"",' * 300_000 + b'""]}',
    json.dumps({"instances": ["a"] * 65}).encode(),
    json.dumps({"instances": [{"captions": 1}]}).encode(),
    json.dumps({"signature_name": "no", "instances": ["a"]}).encode(),
    json.dumps({"instances": ["a"], "inputs": ["a"]}).encode(),
]
# What is no HTTP, and what it deserves.
BAD_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"get / http/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nA\x00B: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\n folded\r\n\r\n",
    b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/models/toy:predict HTTP/1.1\r\nContent-Length: 9,9\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4_000 + b"\r\n",
]
CHUNKED = ("Transfer-Encoding: chunked",)
BAD_CHUNKS = [
    b"x\r\n",
    b"5\r\nabcdefg\r\n",
    b"1" * 20_000,
    b"1;" + b"a" * 20_000,
    b"0\r\n" + b"A: b\r\n" * 4_000,
    b"1\r\na\r\n" * 60_000,
]
OUTSIDE = [
    "/../serve.py",
    "/../../README.md",
    "/..%2fserve.py",
    "/%2e%2e/serve.py",
    "/%2e%2e%2fserve.py",
    "/%252e%252e/serve.py",
    "/..%5cserve.py",
    "/page.js/../../serve.py",
    "/page.js%00/../../serve.py",
    "/../serve.py%00.js",
    "//etc/passwd",
    "/%2fetc%2fpasswd",
    "/../../../../../../../../etc/passwd",
    "http://localhost/../../../../../../etc/passwd",
    "/v1/models/../../etc/passwd",
    "/v1/models/..%2f..%2fetc%2fpasswd",
    "/v1/models/%2e%2e",
    "/v1/models/toy/versions/../../../serve.py",
    "/v1/models/toy/labels/..%2f..:predict",
    "/v1/models/%00",
]
UNKNOWN = [
    "/v1/models/nobody",
    "/v1/models/nobody:predict",
    "/v1/models/toy/versions/99:predict",
    "/v1/models/toy/versions/99999999999999999999:predict",
    "/v1/models/toy/labels/nobody:predict",
    "/v1/models/toy/versions/99",
    "/v1/models/toy/versions/99/metadata",
    "/nothing",
]


@kind("a header byte a second", "408", CLOSED, workers=20)
async def slow_header(target: Target) -> str:
    begin = f"POST /v1/models/{target.model}:predict HTTP/1.1\r\nX: "
    return await wire.drip(target, begin.encode(), itertools.repeat(b"x"))


@kind("a body byte a second", "408", CLOSED, workers=20)
async def slow_body(target: Target) -> str:
    begin = wire.request("/v1/models/toy:predict", b"", "POST", *CHUNKED)
    if random.random() < 0.5:
        begin = begin.replace(
            b"Transfer-Encoding: chunked", b"Content-Length: 9999"
        )
        return await wire.drip(target, begin, itertools.repeat(b" "))
    return await wire.drip(target, begin, itertools.repeat(b"1\r\n \r\n"))


@kind("an answer never read", LEFT, CLOSED, workers=2)
async def unread_answer(target: Target) -> str:
    # A zero is six characters of JSON: 6 MB, more than sockets hold.
    zeros = base64.b64encode(bytes(1_000_000)).decode()
    document = {"signature_name": "text", "instances": [{"b64": zeros}]}
    loop = asyncio.get_running_loop()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        link.setblocking(False)
        await loop.sock_connect(link, ("127.0.0.1", target.rest))
        await loop.sock_sendall(link, wire.predict("toy", document))
        await asyncio.sleep(15)
    return LEFT


@kind("gone within its body", LEFT, workers=2, pause=0.5)
async def half_body(target: Target) -> str:
    content = wire.predict(target.model, {"instances": ["a" * 50_000]})
    await wire.leave(target, content[: random.randrange(len(content))], None)
    return LEFT


@kind("gone within its answer", LEFT, workers=2, pause=0.5)
async def half_answer(target: Target) -> str:
    content = wire.predict(target.model, {"instances": ["a"] * 8})
    size = random.randrange(200)
    await wire.leave(target, content, lambda seen: len(seen) > size)
    return LEFT


@kind("a body too large", "413", pause=4.0)
async def large_body(target: Target) -> str:
    path, size = "/v1/models/toy:predict", target.request_bytes
    body = b" " * random.choice([size + 1, 3 * size])
    announced = wire.request(path, b"", "POST", f"Content-Length: {10**12}")
    asked = ("Expect: 100-continue", f"Content-Length: {len(body)}")
    return await wire.ask(
        target,
        random.choice(
            [
                wire.request(path, body),
                announced,
                wire.request(path, b"", "POST", *asked),
            ]
        ),
    )


@kind("chunks too large", "413", pause=4.0)
async def large_chunks(target: Target) -> str:
    head = wire.request("/v1/models/toy:predict", b"", "POST", *CHUNKED)
    chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    return await wire.ask(
        target, head, *[chunk] * (target.request_bytes // 2**15)
    )


@kind("bad JSON", "400", pause=0.5)
async def bad_json(target: Target) -> str:
    path = f"/v1/models/{target.model}:predict"
    return await wire.ask(target, wire.request(path, random.choice(BAD_JSON)))


@kind("bad HTTP", "400 404 431 501", pause=0.5)
async def bad_http(target: Target) -> str:
    return await wire.ask(target, random.choice(BAD_HTTP))


@kind("bad chunks", "400", "413", pause=0.5)
async def bad_chunks(target: Target) -> str:
    head = wire.request("/v1/models/toy:predict", b"", "POST", *CHUNKED)
    return await wire.ask(target, head + random.choice(BAD_CHUNKS))


@kind("requests without waiting", "200", pause=1.0)
async def pipelined(target: Target) -> str:
    good = wire.predict(target.model, {"instances": ["a"]})
    garbage = random.randbytes(random.randrange(1, 5000))
    return await wire.ask(target, good + random.choice([garbage, good * 50]))


@kind("wrong methods", "400 404", pause=0.5)
async def wrong_methods(target: Target) -> str:
    verbs = ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "XYZZY"]
    paths = ["/v1/models/toy:predict", "/v1/models/toy", "/", "/page.js", "*"]
    verb, path = random.choice(verbs), random.choice(paths)
    return await wire.ask(target, wire.request(path, b"", verb))


@kind("unknown models", "400 404", pause=0.5)
async def unknown(target: Target) -> str:
    path = random.choice(UNKNOWN)
    verb = "POST" if path.endswith(":predict") else "GET"
    return await wire.ask(target, wire.request(path, b"{}", verb))


@kind("paths that lead out", "400 404", pause=0.5)
async def outside(target: Target) -> str:
    return await wire.ask(
        target, wire.request(random.choice(OUTSIDE), b"", "GET")
    )


@kind("pages of other hosts", "403", pause=0.5)
async def other_hosts(target: Target) -> str:
    header = random.choice(
        [
            "Origin: http://evil.example",
            "Origin: null",
            "Origin: http://localhost.evil.example",
            "Origin: http://[",
            "Host: [",
            "Host: evil.example",
            "Host: 127.0.0.1.evil.example:80",
            "Host: localhost, evil.example",
        ]
    )
    content = wire.predict(target.model, {"instances": ["a"]}, header)
    page = wire.request("/", b"", "GET", header)
    preflight = wire.request("/v1/models/toy:predict", b"", "OPTIONS", header)
    return await wire.ask(target, random.choice([content, page, preflight]))


@kind("longer than the time-out", "504", pause=60.0)
async def too_long(target: Target) -> str:
    document = {"signature_name": "slow", "instances": [60.0]}
    return await wire.ask(target, wire.predict("toy", document))


@kind("all at once", "200 429", workers=60, pause=30.0)
async def crowding(target: Target) -> str:
    # All of its workers wake at the same times.
    loop = asyncio.get_running_loop()
    await asyncio.sleep(10.0 - loop.time() % 10.0)
    document = {"signature_name": "slow", "instances": [0.05]}
    return await wire.ask(
        target, wire.predict("toy", document), source=ONE_ADDRESS
    )
