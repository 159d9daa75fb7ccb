"""A process of strangers: python -m tests.export.traffic.worker CROWD CONFIG.

Prints one line of JSON when the time is over.
"""

import asyncio
import base64
import collections
import dataclasses
import json
import random
import resource
import sys
import time

from tests.export.traffic import crowd, grpc_strangers, http_strangers
from tests.export.traffic.kinds import HANG, HANG_SECONDS, KINDS, Kind, Target

Ends = collections.Counter

_VISITS = (http_strangers, grpc_strangers)  # they register their kinds


async def _visits(kind: Kind, target: Target, end: float, ends: Ends) -> None:
    await asyncio.sleep(random.random() * min(kind.pause, 5.0))
    while time.monotonic() < end:
        try:
            found = await asyncio.wait_for(kind.visit(target), HANG_SECONDS)
        except asyncio.TimeoutError:
            found = HANG
        except Exception as error:  # of any kind: it is told
            found = repr(error)
        ends[found] += 1
        await asyncio.sleep(random.random() * kind.pause)


async def strangers(target: Target, end: float) -> dict[str, Ends]:
    """All kinds at once until `end`; how their visits ended, by kind."""
    ends = {name: Ends() for name in KINDS}
    workers = [
        asyncio.create_task(_visits(kind, target, end, ends[name]))
        for name, kind in KINDS.items()
        for _ in range(kind.workers)
    ]
    # Who visits when the time is over is not waited for.
    await asyncio.wait(workers, timeout=end - time.monotonic())
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    return ends


def main(wanted: str, config: str) -> None:
    """Idle connections, so many, or with 0 all other kinds of strangers."""
    fields = json.loads(config)
    end = time.monotonic() + fields.pop("seconds")
    target = Target(
        **fields
        | {
            "predict": base64.b64decode(fields["predict"]),
            "secrets": tuple(text.encode() for text in fields["secrets"]),
        }
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if int(wanted):
        waves = crowd.Waves(min(int(wanted), hard - 100))
        crowd.stay(waves, [target.rest, target.grpc], end)
        print(json.dumps(dataclasses.asdict(waves)))
    else:
        print(json.dumps(asyncio.run(strangers(target, end))))


if __name__ == "__main__":
    main(*sys.argv[1:])
