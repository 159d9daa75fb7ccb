"""python -m tests.export.traffic: the server among strangers.

Good clients, whose answers are checked, beside strangers of every kind and
thousands of idle connections, against `python -m export.serve`. Ends with 1
where a bound is missed.
"""

import argparse
import base64
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tests.export.server_process import ROOT, Running, environment, served
from tests.export.traffic import good, report
from tests.export.traffic.watch import Watch, look

REQUEST_BYTES = 2_000_000
TIMEOUT_MS = 10_000
REST_AFTER = 8.0  # seconds until what strangers left is gone
SECRETS = ("root:x:0", "a local stand-in for tensorflow_model_server")


@contextlib.contextmanager
def strangers(server: Running, seconds: float, idle: int) -> Iterator[list]:
    """Two processes of strangers; afterwards, what both tell."""
    config = {
        "rest": int(server.url.rpartition(":")[2]),
        "grpc": int(server.grpc.rpartition(":")[2]),
        "model": server.model,
        "predict": base64.b64encode(
            good.proto(
                good.Wanted("toy", "generate_png", [0])
            ).SerializeToString()
        ).decode(),
        "request_bytes": REQUEST_BYTES,
        "secrets": SECRETS,
        "seconds": seconds,
    }
    command = [sys.executable, "-m", "tests.export.traffic.worker"]
    told: list = []
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, number, json.dumps(config)],
                    cwd=ROOT,
                    env=environment(),
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in ("0", str(idle))
        ]
        try:
            yield told
            told += [
                json.loads(x.communicate(timeout=60)[0]) for x in processes
            ]
        finally:
            for process in processes:
                process.kill()


def models_file(folder: pathlib.Path, bases: dict[str, pathlib.Path]) -> str:
    """The flag that serves models by name."""
    entries = (
        f'config {{ name: "{name}" base_path: "{base.absolute()}" '
        'model_platform: "tensorflow" }'
        for name, base in bases.items()
    )
    file = folder / "models.pbtxt"
    file.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return f"--model_config_file={file}"


def bases_of(options: argparse.Namespace, folder: pathlib.Path) -> dict:
    """The models' folders by name; the toy is made where none is given."""
    toy = options.toy
    if not toy:
        code = (
            "import pathlib, sys; sys.path.insert(0, 'tests/export'); "
            "import toy_model; "
            "toy_model.write(pathlib.Path(sys.argv[1]), 1)"
        )
        toy = folder / "toy"
        toy.mkdir()
        command = [sys.executable, "-c", code, str(toy)]
        subprocess.run(command, cwd=ROOT, env=environment(), check=True)
    return (
        {"attngan": options.model, "toy": toy}
        if options.model
        else {"toy": toy}
    )


def newest(base: pathlib.Path) -> pathlib.Path:
    """The version that is served."""
    names = [child.name for child in base.iterdir() if child.name.isdecimal()]
    return base / max(names, key=int)


def measure(options: argparse.Namespace) -> report.Measured:
    """Runs it all."""
    seconds = 60 * options.minutes
    warm = int(2 * seconds * options.warm_up)  # looks, two a second
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bases = bases_of(options, folder)
        pictures = {k: good.expected(newest(base)) for k, base in bases.items()}
        batching = ("--enable_batching",) * options.batching
        flags = (
            *batching,
            models_file(folder, bases),
            "--page",
            f"--max_request_bytes={REQUEST_BYTES}",
            f"--rest_api_timeout_in_ms={TIMEOUT_MS}",
        )
        log = folder / "log"
        with served(log, *flags, model=next(iter(bases))) as server:
            pid = server.process.pid
            watch, before = Watch(pid), look(pid)
            with good.Crew(server, pictures) as crew:
                watch.start()
                with strangers(server, seconds, options.idle) as told:
                    time.sleep(seconds)
                watch.stop()
            time.sleep(REST_AFTER)
            after = look(pid)
            code = server.terminate()
        return report.Measured(
            seconds=crew.seconds,
            faults=crew.faults,
            ends=told[0],
            waves=told[1],
            before=before,
            after=after,
            seen=watch.seen,
            warm=warm,
            code=code,
            log=log.read_text(),
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--minutes", type=float, default=30.0)
    add("--model", type=pathlib.Path, help="folder with an exported generator")
    add("--toy", type=pathlib.Path, help="folder with the tests' toy model")
    add("--idle", type=int, default=10_000, help="idle connections at once")
    add("--batching", action="store_true", help="requests share batches")
    add("--warm_up", type=float, default=0.2, help="share of the time")
    add("--growth", type=float, default=0.05, help="of memory, at most")
    options = parser.parse_args()
    measured = measure(options)
    print("\n".join(report.table(measured)))
    faults = report.faults(measured, options.growth)
    print("\n" + "\n".join(faults or ["every bound was kept"]))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
