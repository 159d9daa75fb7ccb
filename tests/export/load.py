"""A served model under load, beside the bare Session: one line of JSON.

PYTHONPATH=. python tests/export/load.py MODELS/attngan [SECONDS] [--FLAG ...]

Sixteen clients ask for one picture at a time, over REST, of a server that
merges requests. After a third of the time a new version is published, after
two thirds a broken one. The bare Session draws batches of 8, before and after.
The flags are the server's.
"""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from server_process import ROOT, Client, Running, stand_in

CLIENTS = 16
BATCH = 8
CAPTIONS = [
    f"a small {crown} bird with {wings} wings and a {belly} belly"
    for crown in ("red", "blue", "yellow", "black")
    for wings in ("grey", "white", "brown", "black")
    for belly in ("white", "orange", "green", "yellow")
]
SESSION = """
import json, sys, time
import numpy as np
import tensorflow as tf

folder, captions, seconds = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
batch = np.array([text.encode() for text in captions], object)
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    signature = loaded.signature_def["serving_default"]
    feed = {signature.inputs["captions"].name: batch}
    fetch = signature.outputs["image_bytes"].name
    for _ in range(5):
        session.run(fetch, feed)
    start, count = time.monotonic(), 0
    while time.monotonic() < start + float(seconds):
        count += len(session.run(fetch, feed))
    print(count / (time.monotonic() - start))
"""


def bare_session(folder: pathlib.Path, seconds: float) -> float:
    """Pictures a second in a process that does nothing else."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SESSION,
            folder,
            json.dumps(CAPTIONS[:BATCH]),
            str(seconds),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    (line,) = (x for x in status.splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Load:
    """Clients that ask until they are stopped."""

    def __init__(self, server: Running):
        self.server = server
        self.seconds: list[float] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=[number])
            for number in range(CLIENTS)
        ]

    def _ask(self, number: int) -> None:
        with contextlib.closing(Client(self.server.url)) as client:
            while not self._stop.is_set():
                caption = CAPTIONS[number % len(CAPTIONS)]
                number += CLIENTS + 1
                start = time.monotonic()
                try:
                    body = {"instances": [caption]}
                    answer = client.predict(self.server.model, body)
                    fault = answer.status != 200 and answer.body[:200].decode()
                except Exception as error:  # of any kind: it is counted
                    fault = repr(error)
                if fault:
                    self.failed.append(fault)
                else:
                    self.seconds.append(time.monotonic() - start)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def publish(base: pathlib.Path, version: int, broken: bool) -> None:
    """A copy of version 1 as another one, complete or cut off."""
    scratch = base / f".copy-{version}"
    shutil.copytree(base / "1", scratch)
    if broken:
        os.truncate(scratch / "saved_model.pb", 1000)
    scratch.rename(base / str(version))


def first_and_median(server: Running) -> tuple[float, float]:
    """Seconds of the first request after the start, and of 30 others."""
    times = []
    with contextlib.closing(server.client()) as client:
        for caption in CAPTIONS[:31]:
            start = time.monotonic()
            answer = client.predict(server.model, {"instances": [caption]})
            assert answer.status == 200, answer.body
            times.append(time.monotonic() - start)
    return times[0], statistics.median(times[1:])


def main(source: str, seconds: str = "60", *more_flags: str) -> None:
    """Measures and prints."""
    length = float(seconds)
    batching = ROOT / "export" / "deploy" / "batching.pbtxt"
    with tempfile.TemporaryDirectory() as scratch:
        base = pathlib.Path(scratch) / "attngan"
        newest = max(int(n) for n in os.listdir(source) if n.isdecimal())
        shutil.copytree(pathlib.Path(source) / str(newest), base / "1")
        before = bare_session(base / "1", length / 4)
        flags = (
            "--enable_batching",
            f"--batching_parameters_file={batching}",
            # All clients are of one address, and somebody watches.
            f"--max_requests_per_client={2 * CLIENTS}",
            *more_flags,
        )
        log = pathlib.Path(scratch) / "log"
        with stand_in(base, log, *flags, model="attngan") as server:
            first, median = first_and_median(server)
            memory = []
            with Load(server) as load:
                for second in range(int(length)):
                    time.sleep(1)
                    memory.append(memory_mb(server.process.pid))
                    if second == int(length / 3):
                        publish(base, 2, broken=False)
                    if second == int(2 * length / 3):
                        publish(base, 3, broken=True)
            states = {n: server.state(n) for n in (1, 2, 3)}
        after = bare_session(base / "1", length / 4)
    rate = len(load.seconds) / length
    print(
        json.dumps(
            {
                "requests": len(load.seconds),
                "failed": len(load.failed),
                "failures": load.failed[:3],
                "pictures_per_second": round(rate, 1),
                "session_pictures_per_second": [
                    round(x, 1) for x in (before, after)
                ],
                "share_of_session": round(2 * rate / (before + after), 3),
                "latency_ms": [
                    round(1000 * x)
                    for x in statistics.quantiles(load.seconds, n=100)[49::49]
                ],
                "first_ms": round(1000 * first, 1),
                "median_ms": round(1000 * median, 1),
                "memory_mb": [round(x) for x in memory[9::10]],
                "versions": states,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
