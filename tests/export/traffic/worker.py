"""A process of strangers: python -m tests.export.traffic.worker CROWD CONFIG.

Prints one line of JSON when the time is over.
"""

import asyncio
import base64
import collections
import dataclasses
import json
import os
import random
import resource
import sys
import time
from typing import NoReturn

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


async def strangers(target: Target, end: float) -> NoReturn:
    """All kinds at once until `end`; prints how visits ended, by kind."""
    ends = {name: Ends() for name in KINDS}
    workers = [
        asyncio.create_task(_visits(kind, target, end, ends[name]))
        for name, kind in KINDS.items()
        for _ in range(kind.workers)
    ]
    await asyncio.wait(workers, timeout=end - time.monotonic())
    print(json.dumps(ends), flush=True)
    # Who visits when the time is over is not waited for: to cancel hundreds of
    # visits, some of them gRPC's, takes long at times.
    os._exit(0)


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
        asyncio.run(strangers(target, end))


if __name__ == "__main__":
    main(*sys.argv[1:])
