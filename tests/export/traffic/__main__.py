"""python -m tests.export.traffic: good clients beside faulty ones.

Starts the development server with the tests' toy model and ends with 1 where
a good request fails, or a faulty one ends in another way than it should.
"""

import argparse
import collections
import concurrent.futures
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from tests.export.server_process import ROOT, development_server, environment
from tests.export.traffic import bad, good

GOOD = [("REST", True), ("REST", True), ("REST", False)]
GOOD += [("gRPC", True), ("gRPC", False)]
WORKERS = 2  # of each kind of faulty client
FLAGS = (f"--max_request_bytes={bad.MAX_BYTES}", "--enable_batching")


def write_model(base: pathlib.Path) -> None:
    """Writes version 1 of the toy model."""
    code = (
        "import pathlib, sys; sys.path.insert(0, 'tests/export'); "
        "import toy_model; toy_model.write(pathlib.Path(sys.argv[1]), 1)"
    )
    command = [sys.executable, "-c", code, str(base)]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True)


def memory(pid: int) -> int:
    """Resident memory of a process, in MB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+)", text)[1]) // 1024


def run(server, images: good.Images, seconds: float) -> list[str]:
    """Lets all clients work, prints tables, and returns what went wrong."""
    end = time.monotonic() + seconds
    times = collections.defaultdict(list)
    ends = collections.defaultdict(collections.Counter)
    faults = []
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        started = [
            (protocol, pool.submit(good.work, server, images, protocol, x, end))
            for protocol, x in GOOD
        ]
        visits = [
            (kind, pool.submit(bad.work, server, kind, end))
            for kind in bad.KINDS
            for _ in range(WORKERS)
        ]
        for protocol, future in started:
            took, failed = future.result()
            times[protocol] += took
            faults += failed
        for kind, future in visits:
            ends[kind].update(future.result())
    print(
        "| good requests | number | median, ms | 99 %, ms |\n|---|---|---|---|"
    )
    for protocol, took in times.items():
        high = statistics.quantiles(took, n=100)[-1]
        half = statistics.median(took)
        print(
            f"| {protocol} | {len(took)} | {1000 * half:.0f} "
            f"| {1000 * high:.0f} |"
        )
    print(f"| failed | {len(faults)} | | |\n\n| faulty requests | ends |")
    print("|---|---|")
    for kind, counts in ends.items():
        found = ", ".join(f"{key}: {n}" for key, n in sorted(counts.items()))
        print(f"| {kind.__name__} | {found} |")
        if wrong := set(counts) - bad.KINDS[kind]:
            faults.append(f"{kind.__name__} ended with {', '.join(wrong)}")
    return faults


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base, log = pathlib.Path(name), pathlib.Path(name) / "log"
        write_model(base)
        images = good.expected(base / "1")
        with development_server(base, log, *FLAGS) as server:
            before = memory(server.process.pid)
            faults = run(server, images, 60 * options.minutes)
            after = memory(server.process.pid)
            code = server.terminate()
        if code or "Traceback" in log.read_text():
            faults.append(f"the server ended with {code}: {log.read_text()}")
    print(f"\nmemory of the server: {before} MB, then {after} MB")
    print("\n".join(faults[:20] or ["no good request failed"]))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
