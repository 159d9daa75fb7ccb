"""The levels of the code: which module may import which."""

import ast
import dataclasses
import fnmatch
import graphlib
import pathlib
import sys

import pytest

from attngan_tf import config
from attngan_tf.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[1]

# The packages of attngan_tf, lowest first. A module imports from lower ones and
# from its own.
LEVELS = [
    "errors",
    "io",
    "options",
    "config",
    "cli",
    "runs",
    "data",
    "models",
    "adam",
    "losses",
    "pretrained",
    "sampling",
    "encoders",
    "text_to_image",
    "visualization",
    "evaluation",
    "training",
    "benchmarking",
]
COMMANDS = [f"attngan_tf.{name}" for name in ("train", "generate", "evaluate")]
COMMANDS += [f"attngan_tf.{name}" for name in ("prepare", "convert")]
COMMANDS += ["attngan_tf.benchmark"]

# What a command imports before it knows that its flags are right.
STANDARD_LIBRARY_ONLY = [
    f"attngan_tf.{name}"
    for name in ("errors", "config", "options", "cli.*", "io.files")
]

# Modules that may (True), or must not (False), use a library.
LIBRARIES = [
    # Models and losses are written in keras.ops; keras.ops has no fused BN.
    ("tensorflow", ["attngan_tf.losses", "attngan_tf.models.*"], False),
    (
        "tensorflow",
        ["attngan_tf.evaluation.metrics.*", "attngan_tf.visualization.figures"],
        False,
    ),
    (
        "keras",
        ["attngan_tf.evaluation.metrics.*", "attngan_tf.visualization.figures"],
        False,
    ),
    # Reports read workdirs, without networks.
    (
        "tensorflow",
        ["attngan_tf.runs.reports", "attngan_tf.evaluation.report"],
        False,
    ),
    ("matplotlib", ["attngan_tf.visualization.curves"], True),
    # pyplot has global state.
    ("matplotlib.pyplot", ["attngan_tf.*"], False),
    (
        "tensorflow",
        ["attngan_tf.visualization.lettering", "attngan_tf.io.png"],
        False,
    ),
    ("absl.flags", ["attngan_tf.cli.command", *COMMANDS, "export.*"], True),
    ("absl.app", ["attngan_tf.cli.command", "export.*"], True),
]
EXCEPTIONS = {("attngan_tf.models.layers.batch_norm", "tensorflow")}


def fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def level(name: str) -> str:
    """The part after the package: attngan_tf.data.cub -> data."""
    return name.split(".")[1]


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
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            found.add(node.module)
    return found


def edges(sources: dict[str, str]) -> dict[str, set[str]]:
    """The project's modules that each module imports."""
    return {
        name: imports(source) & set(sources) for name, source in sources.items()
    }


def layer_faults(sources: dict[str, str]) -> list[str]:
    faults = []
    for name, used in edges(sources).items():
        if name.startswith("export"):
            continue
        if name not in COMMANDS and level(name) not in LEVELS:
            faults.append(f"{name} has no level")
            continue
        for other in sorted(used):
            if other.startswith("export"):
                faults.append(f"{name} imports {other}")
            elif other in COMMANDS:
                faults.append(f"{name} imports the command {other}")
            elif (
                name not in COMMANDS
                and level(other) != level(name)
                and LEVELS.index(level(other)) > LEVELS.index(level(name))
            ):
                faults.append(f"{name} imports {other}, not from below")
    return faults


def library_faults(sources: dict[str, str]) -> list[str]:
    faults = []
    for name, source in sources.items():
        used = imports(source)
        for library, patterns, allowed in LIBRARIES:
            uses = any(f"{x}.".startswith(f"{library}.") for x in used)
            excepted = (name, library) in EXCEPTIONS
            if uses and fits(name, patterns) != allowed and not excepted:
                faults.append(f"{name} uses {library}")
    for name, source in sources.items():
        if fits(name, STANDARD_LIBRARY_ONLY):
            outside = {x.split(".")[0] for x in imports(source)}
            outside -= {*sys.stdlib_module_names, "absl", "attngan_tf"}
            faults += [f"{name} uses {x}" for x in sorted(outside)]
    return faults


def test_modules_import_from_lower_levels_only():
    assert layer_faults(project_sources()) == []


def test_libraries_are_used_by_their_modules_only():
    assert library_faults(project_sources()) == []


def test_there_are_no_import_cycles():
    graphlib.TopologicalSorter(edges(project_sources())).prepare()


def test_every_module_is_imported_or_a_command():
    sources = project_sources()
    used = set().union(*edges(sources).values())
    # attngan_tf/__init__.py imports these.
    used |= {"attngan_tf.text_to_image", "attngan_tf.cli.startup", *COMMANDS}
    used |= {path.split(":")[0] for path in config.DISCRIMINATORS.values()}
    unused = [x for x in sources if x not in used and "export" not in x]
    assert unused == []


def test_the_client_imports_no_module_of_the_project():
    client = ROOT / "export" / "client.py"
    used = imports(client.read_text(encoding="utf-8"))
    assert not [x for x in used if x.split(".")[0] in ("attngan_tf", "export")]


def test_the_package_imports_only_the_start_of_commands():
    """Importing TensorFlow takes seconds, and only `load` needs it."""
    tree = ast.parse((ROOT / "attngan_tf" / "__init__.py").read_text())
    kinds = (ast.Import, ast.ImportFrom)
    (first,) = [node for node in tree.body if isinstance(node, kinds)]
    assert first.module == "attngan_tf.cli.startup"


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("losses", "import attngan_tf.training.gan_step", "not from below"),
        ("losses", "from attngan_tf.evaluation import report", "from below"),
        ("models.build", "from attngan_tf import losses", "not from below"),
        ("training.gan_step", "from attngan_tf import train", "the command"),
        ("train", "from attngan_tf.generate import main", "the command"),
        ("losses", "def f():\n  from export import serve", "imports export"),
        ("surprise", "", "no level"),
    ],
)
def test_a_wrong_import_is_detected(module, source, fault):
    others = ("training.gan_step", "models.build", "evaluation.report")
    others += ("train", "generate", "losses")
    sources = {f"attngan_tf.{name}": "" for name in others}
    sources |= {"export.serve": "", f"attngan_tf.{module}": source}
    (found,) = layer_faults(sources)
    assert f"attngan_tf.{module}" in found
    assert fault in found


@pytest.mark.parametrize(
    ("module", "source", "library"),
    [
        ("losses", "import tensorflow as tf", "tensorflow"),
        ("models.layers.blocks", "from tensorflow import nn", "tensorflow"),
        ("evaluation.metrics.fid", "import keras", "keras"),
        ("training.gan_step", "from absl import flags", "absl.flags"),
        ("text_to_image", "from absl.flags import FLAGS", "absl.flags"),
        ("evaluation.report", "import tensorflow as tf", "tensorflow"),
        ("evaluation.report", "from matplotlib import figure", "matplotlib"),
        (
            "visualization.curves",
            "from matplotlib import pyplot",
            "matplotlib.pyplot",
        ),
        ("config", "import numpy", "numpy"),
    ],
)
def test_a_wrong_library_is_detected(module, source, library):
    name = f"attngan_tf.{module}"
    assert library_faults({name: source}) == [f"{name} uses {library}"]


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
