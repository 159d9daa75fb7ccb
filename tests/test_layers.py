"""No module and no setting without a reader.

Which module may import which is in pyproject.toml, for import-linter.
"""

import ast
import dataclasses
import pathlib
import subprocess
import sys

from attngan_tf import config
from attngan_tf.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMANDS = ("train", "generate", "evaluate", "prepare", "convert", "benchmark")


def project_sources() -> dict[str, str]:
    """Sources by the names of modules, without __init__.py."""
    found = {}
    for package in ("attngan_tf", "export"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__init__":
                found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def imports(source: str) -> set[str]:
    """Every imported name, also in functions: a.b and a.b.c."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            found.add(node.module)
    return found


def test_modules_import_from_lower_layers_only():
    command = [pathlib.Path(sys.executable).with_name("lint-imports")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_module_is_imported_or_a_command():
    sources = project_sources()
    used = set().union(*map(imports, sources.values()))
    # attngan_tf/__init__.py imports these.
    used |= {"attngan_tf.text_to_image", "attngan_tf.cli.startup"}
    used |= {f"attngan_tf.{name}" for name in COMMANDS}
    used |= {path.split(":")[0] for path in config.DISCRIMINATORS.values()}
    unused = [x for x in sources if x not in used and "export" not in x]
    assert unused == []


def config_attributes(source: str) -> set[str]:
    """Names x of `config.x`, `self.config.x`, `model.config.x`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = getattr(owner, "id", None) or getattr(owner, "attr", None)
            library = getattr(getattr(owner, "value", None), "id", None)
            if name == "config" and library not in ("tf", "keras"):
                found.add(node.attr)
    return found


def test_every_field_of_the_configuration_is_read():
    example = "config.a + self.config.b + tf.config.c + other.d"
    assert config_attributes(example) == {"a", "b"}
    sources = project_sources()
    del sources["attngan_tf.config"]
    read = set().union(*map(config_attributes, sources.values()))
    fields = {field.name for field in dataclasses.fields(Config)}
    assert sorted(fields - read) == []
