"""Dependencies: lower and upper bounds, and the jobs that test them."""

import pathlib
import re
import runpy
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = pathlib.Path(__file__).resolve().parents[1]
CI = ROOT / ".ci"


@pytest.fixture(scope="module")
def setup():
    """The arguments of setuptools.setup in setup.py."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("setuptools.setup", given.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return given


def requirements(setup, *extras) -> list[Requirement]:
    lines = list(setup["install_requires"])
    for extra in extras or setup["extras_require"]:
        lines += setup["extras_require"][extra]
    return [Requirement(line) for line in lines]


def bound(requirement: Requirement, *operators: str) -> Version | None:
    versions = {x.operator: x.version for x in requirement.specifier}
    found = [versions[o] for o in (*operators, "==") if o in versions]
    return Version(found[0]) if found else None


def test_every_dependency_has_bounds(setup):
    listed = requirements(setup)
    assert len(listed) > 20
    for requirement in listed:
        low, high = bound(requirement, ">="), bound(requirement, "<")
        assert low, requirement
        assert high, requirement
        assert low <= high


def test_the_oldest_job_installs_the_lower_bounds(setup):
    printed = subprocess.run(
        [sys.executable, str(CI / "lower_bounds"), "beam", "test"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = dict(line.split("==") for line in printed.splitlines())
    expected = {
        requirement.name: bound(requirement, ">=")
        for requirement in requirements(setup, "beam", "test")
    }
    assert {name: Version(low) for name, low in found.items()} == expected


def test_the_jobs_run_tests_that_exist():
    text = (CI / "oldest").read_text()
    for extras, file in (("test", "oldest.txt"), ("beam", "beam.txt")):
        assert re.search(rf'lower_bounds {extras} .*>"\$home/{file}"', text)
        assert f'--constraint "$home/{file}"' in text
    paths = re.findall(r"tests/[\w/.]+", text)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for job in ("run", "oldest"):
        assert ".ci/tiny_run" in (CI / job).read_text()
