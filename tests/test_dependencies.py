"""Dependencies have bounds, and the jobs run tests that exist."""

import pathlib
import re
import runpy

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = pathlib.Path(__file__).resolve().parents[1]
CI = ROOT / ".ci"


def test_every_dependency_has_bounds(monkeypatch):
    given = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    lines = sum(given["extras_require"].values(), given["install_requires"])
    assert len(lines) > 20
    for line in lines:
        versions = {x.operator: x.version for x in Requirement(line).specifier}
        if "==" not in versions:
            assert Version(versions[">="]) < Version(versions["<"]), line


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
