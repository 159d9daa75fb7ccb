"""python -m tests.tools.traffic: good clients beside faulty ones.

Starts the development server with a model and batching, sends valid and
invalid requests over REST and gRPC, and ends with exit code 1 if a valid one
failed or an invalid one was not refused as it should be.
"""

import argparse
import collections
import concurrent.futures
import pathlib
import sys
import tempfile
import time

import grpc
import numpy as np

from tests.export.server_process import Running, predict_request, served

MAX_BYTES = 100_000
CAPTIONS = ("a red bird", "a small bird with a white belly", "")
# A name, the body of a REST request, and the expected status.
INVALID = [
    ("bad JSON", b'{"instances": ["a"', 400),
    ("number as caption", {"instances": [5]}, 400),
    ("unknown input", {"inputs": {"words": ["a"]}}, 400),
    ("unknown signature", {"signature_name": "x", "instances": ["a"]}, 400),
    ("too many bytes", b" " * (MAX_BYTES + 1), 413),
]


class Counts:
    """What happened, by the kind of request."""

    def __init__(self):
        self.seconds = collections.defaultdict(list)
        self.faults = collections.Counter()

    def call(self, kind: str, function) -> None:
        """Calls a function that returns whether all went as expected."""
        start = time.monotonic()
        try:
            good = function()
        except (OSError, grpc.RpcError) as error:
            print(f"{kind}: {error!r}", file=sys.stderr)
            good = False
        self.seconds[kind].append(time.monotonic() - start)
        self.faults[kind] += not good

    def table(self) -> list[str]:
        """Rows of Markdown: requests, faults, median and 99 %, in ms."""
        rows = ["| request | count | faults | median, ms | 99 %, ms |"]
        rows.append("|---" * 5 + "|")
        for kind, seconds in sorted(self.seconds.items()):
            median, high = 1000 * np.quantile(seconds, [0.5, 0.99])
            rows.append(
                f"| {kind} | {len(seconds):,} | {self.faults[kind]} "
                f"| {median:.0f} | {high:.0f} |"
            )
        return rows


def valid_rest(server: Running, counts: Counts, end: float) -> None:
    """Predicts captions over one kept connection."""
    with server.client() as client:
        while time.monotonic() < end:
            for caption in CAPTIONS:
                body = {"instances": [caption]}
                counts.call(
                    "valid, REST",
                    lambda b=body: client.predict("model", b).status == 200,
                )


def valid_grpc(server: Running, counts: Counts, end: float) -> None:
    """Predicts captions over gRPC."""
    with server.grpc_stub() as stub:
        while time.monotonic() < end:
            request = predict_request("model", captions=CAPTIONS[:1])
            counts.call(
                "valid, gRPC",
                lambda r=request: len(stub.Predict(r, timeout=60).outputs) > 0,
            )


def invalid(server: Running, counts: Counts, end: float) -> None:
    """Sends what must be refused, and closes each connection."""
    while time.monotonic() < end:
        for kind, body, status in INVALID:
            with server.client() as client:
                counts.call(
                    f"{kind}: {status}",
                    lambda b=body, s=status, c=client: (
                        c.predict("model", b).status == s
                    ),
                )
        time.sleep(0.05)


def memory(server: Running) -> float:
    """Resident memory of the server, in MB."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [x for x in status.splitlines() if x.startswith("VmRSS")]
    return int(line.split()[1]) / 1000


def main() -> int:
    """Runs the traffic, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path, help="folder of versions")
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    flags = (
        "--model_name=model",
        f"--model_base_path={options.model.resolve()}",
        f"--max_request_bytes={MAX_BYTES}",
        "--enable_batching",
    )
    counts, workers = Counts(), [valid_rest] * 3 + [valid_grpc] * 2
    workers += [invalid] * 3
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "log"
        with served(log, *flags, model="model") as server:
            before = memory(server)
            end = time.monotonic() + 60 * options.minutes
            with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
                futures = [pool.submit(w, server, counts, end) for w in workers]
                for future in futures:
                    future.result()
            print(*counts.table(), sep="\n")
            print(f"memory: {before:.0f} to {memory(server):.0f} MB")
            ended = server.terminate()
    print(f"exit code of the server after SIGTERM: {ended}")
    return int(bool(ended or sum(counts.faults.values())))


if __name__ == "__main__":
    sys.exit(main())
