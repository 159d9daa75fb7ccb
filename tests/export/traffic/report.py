"""What was measured as a table, and the bounds that it must keep."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping

from tests.export.traffic import grpc_strangers, http_strangers
from tests.export.traffic.kinds import KINDS
from tests.export.traffic.watch import Held

_VISITS = (http_strangers, grpc_strangers)  # they register their kinds
LATENCY = 5.0  # seconds; beside strangers, 99 % of good requests take less
CONNECTIONS = 1000  # the server's default; ten times as many of gRPC
FILES_BESIDE = 300  # bodies in files, and what the server has open
FILES_LEFT = 10  # more than before, when everybody has left
THREADS = 32  # more than at the start: gRPC's begin when they are needed
LONGEST_LOG = 20_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """A run.

    Attributes:
      seconds: of good requests, by kind of client.
      faults: of good requests that failed.
      ends: how often strangers' visits ended how, by kind.
      waves: of idle connections, see `crowd.Waves`.
      before, after: what the server held before and after all visits.
      seen: what it held during them, twice a second.
      warm: how many of these are warm-up.
      code: its exit code.
      log: its output.
    """

    seconds: Mapping[str, list[float]]
    faults: list[str]
    ends: Mapping[str, Mapping[str, int]]
    waves: Mapping[str, int]
    before: Held
    after: Held
    seen: list[Held]
    warm: int
    code: int
    log: str

    def memory(self) -> tuple[float, float]:
        """MB after the warm-up and at the end: medians of a fifth each."""
        looks = max(1, len(self.seen) // 5)
        parts = self.seen[self.warm :][:looks], self.seen[-looks:]
        first, last = (
            statistics.median(held.memory for held in part) for part in parts
        )
        return first, last


def _latency(seconds: list[float]) -> tuple[float, float]:
    """The median and what 99 % are within."""
    return statistics.median(seconds), statistics.quantiles(seconds, n=100)[-1]


def table(measured: Measured) -> Iterator[str]:
    """In Markdown."""
    yield "| good requests | | median, ms | 99 %, ms | longest, ms |"
    yield "|---|---|---|---|---|"
    for name, seconds in sorted(measured.seconds.items()):
        half, most = _latency(seconds)
        yield (
            f"| {name} | {len(seconds)} | {1000 * half:.0f} | "
            f"{1000 * most:.0f} | {1000 * max(seconds):.0f} |"
        )
    yield f"| failed | {len(measured.faults)} | | | |"
    yield "\n| strangers | how it ended |"
    yield "|---|---|"
    for name, ends in measured.ends.items():
        counts = (f"{end}: {count}" for end, count in sorted(ends.items()))
        yield f"| {name} | {', '.join(counts)} |"
    waves = measured.waves
    yield (
        f"| idle connections | {waves['wanted']} wanted at once: "
        f"{waves['held']} opened, {waves['alive']} left open by the server; "
        f"{waves['opened']} in all |"
    )
    first, last = measured.memory()
    peaks = [max(column) for column in zip(*measured.seen, strict=True)]
    before, after = measured.before, measured.after
    yield "\n| the server | before | warm | at the end | after all | peak |"
    yield "|---|---|---|---|---|---|"
    yield (
        f"| memory, MB | {before.memory:.0f} | {first:.0f} | {last:.0f} | "
        f"{after.memory:.0f} | {peaks[0]:.0f} |"
    )
    yield f"| open files | {before.files} | | | {after.files} | {peaks[1]} |"
    warm, end = measured.seen[measured.warm], measured.seen[-1]
    yield (
        f"| threads | {before.threads} | {warm.threads} | {end.threads} | "
        f"{after.threads} | {peaks[2]} |"
    )
    yield f"\nmemory by tenths of the time, MB: {_tenths(measured.seen)}"


def _tenths(seen: list[Held]) -> str:
    """Medians of memory: whether what grew goes on growing."""
    looks = max(1, len(seen) // 10)
    parts = (seen[i : i + looks] for i in range(0, len(seen), looks))
    medians = (statistics.median(x.memory for x in part) for part in parts)
    return ", ".join(f"{median:.0f}" for median in medians)


def faults(measured: Measured, growth: float) -> list[str]:
    """The bounds that are missed; memory may grow by `growth`."""
    found = [f"a good request failed: {x}" for x in measured.faults[:5]]
    for name, seconds in measured.seconds.items():
        if _latency(seconds)[1] > LATENCY:
            found.append(
                f"{name}: 99 % took up to {_latency(seconds)[1]:.1f} s"
            )
    for name, kind in KINDS.items():
        ends = set(measured.ends[name])
        if wrong := ends - kind.right:
            found.append(f"{name}: must not end with {', '.join(wrong)}")
        if missing := kind.needed - ends:
            found.append(f"{name}: must also end with {', '.join(missing)}")
    return found + _server_faults(measured, growth)


def _server_faults(measured: Measured, growth: float) -> list[str]:
    found = []
    first, last = measured.memory()
    if last > (1 + growth) * first:
        found.append(f"memory grew from {first:.0f} to {last:.0f} MB")
    # A tenth of the idle connections are gRPC's.
    most = CONNECTIONS + measured.waves["wanted"] // 10 + FILES_BESIDE
    peak = max(held.files for held in measured.seen)
    if peak > most:
        found.append(f"{peak} open files, more than {most}")
    if measured.after.files > measured.before.files + FILES_LEFT:
        found.append(f"{measured.after.files} files stay open")
    if measured.after.threads > measured.before.threads + THREADS:
        found.append(f"{measured.after.threads} threads stay")
    if measured.code or "Traceback" in measured.log:
        found.append(f"the server ended with {measured.code}: {measured.log}")
    if len(measured.log) > LONGEST_LOG:
        found.append(f"strangers wrote {len(measured.log)} bytes into its log")
    return found
