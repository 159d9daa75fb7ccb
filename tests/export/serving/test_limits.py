"""Open files that connections need."""

import resource

import pytest

from export.serving import limits

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("now", "connections", "then"),
    [
        # 256 of its own and 13 a connection.
        ((20_000, 20_000), 1000, None),
        ((INFINITE, INFINITE), 1000, None),
        ((1024, 2**20), 1000, 13_256),
        ((1024, INFINITE), 1000, 13_256),
        ((1024, 4096), 295, 4096),
        ((256, 256), 1, 256),
    ],
)
def test_open_files_limit_connections(monkeypatch, now, connections, then):
    found = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: now)
    monkeypatch.setattr(resource, "setrlimit", lambda _, x: found.append(x))
    assert limits.open_files_for(1000) == connections
    assert found == ([] if then is None else [(then, now[1])])
