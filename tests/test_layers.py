"""The rooms of the code: which module may import which, by its source."""

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

# The rooms of attngan_tf, lowest first. A module imports from rooms below its
# own, and from its own folder.
ROOMS = [
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

# What may use a library; everything else in the project may not.
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
    # Reports are read-only on workdirs, and need no networks.
    (
        "tensorflow",
        ["attngan_tf.runs.reports", "attngan_tf.evaluation.report"],
        False,
    ),
    ("matplotlib", ["attngan_tf.visualization.curves"], True),
    # Its state is the process's.
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


def room(name: str) -> str:
    """The part after the package: attngan_tf.data.cub -> data."""
    return name.split(".")[1]


def project_sources() -> dict[str, str]:
    """Modules by name; packages only say what they are."""
    found = {}
    for package in ("attngan_tf", "export"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__init__":
                found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def imports(source: str) -> set[str]:
    """Every name imported, also inside of functions: a.b and a.b.c."""
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
        if name not in COMMANDS and room(name) not in ROOMS:
            faults.append(f"{name} has no room")
            continue
        for other in sorted(used):
            if other.startswith("export"):
                faults.append(f"{name} imports {other}")
            elif other in COMMANDS:
                faults.append(f"{name} imports the command {other}")
            elif (
                name not in COMMANDS
                and room(other) != room(name)
                and ROOMS.index(room(other)) > ROOMS.index(room(name))
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


def test_modules_import_from_below_only():
    assert layer_faults(project_sources()) == []


def test_libraries_stay_where_they_belong():
    assert library_faults(project_sources()) == []


def test_no_module_imports_itself_over_others():
    graphlib.TopologicalSorter(edges(project_sources())).prepare()


def test_every_module_is_imported_by_somebody_or_is_a_command():
    sources = project_sources()
    used = set().union(*edges(sources).values())
    # attngan_tf/__init__.py gives `load` of model.
    used |= {"attngan_tf.text_to_image", "attngan_tf.cli.startup", *COMMANDS}
    used |= {place.split(":")[0] for place in config.DISCRIMINATORS.values()}
    unused = [x for x in sources if x not in used and "export" not in x]
    assert unused == []


def test_the_client_of_a_server_needs_nothing_of_ours():
    client = ROOT / "export" / "client.py"
    if not client.exists():
        pytest.skip("export/client.py is not there yet")
    used = imports(client.read_text(encoding="utf-8"))
    assert not [x for x in used if x.split(".")[0] in ("attngan_tf", "export")]


def test_the_package_itself_imports_only_how_tensorflow_starts():
    """TensorFlow takes seconds: only who asks for `load` pays."""
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
        ("surprise", "", "no room"),
    ],
)
def test_a_wrong_import_is_found(module, source, fault):
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
def test_a_wrong_library_is_found(module, source, library):
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


def test_every_field_of_the_configuration_is_read_by_somebody():
    example = "config.a + self.config.b + tf.config.c + other.d"
    assert config_attributes(example) == {"a", "b"}
    sources = project_sources()
    del sources["attngan_tf.config"]
    read = set().union(*map(config_attributes, sources.values()))
    fields = {field.name for field in dataclasses.fields(Config)}
    assert sorted(fields - read) == []
